#!/usr/bin/env python3
"""Takes the uncompressed kernel out of Debian's bzImage: unpacking it at each boot is slow in software emulation.

    extract_kernel.py VMLINUZ VMLINUX
"""

import lzma
import struct
import sys
import zlib
from pathlib import Path

# Linux' x86 boot protocol: sectors of the setup code, and where the payload begins and how long it is.
SETUP_SECTORS, PAYLOAD = 0x1F1, 0x248


def unpacked(image: bytes) -> bytes:
    setup = ((image[SETUP_SECTORS] or 4) + 1) * 512
    offset, length = struct.unpack_from("<II", image, PAYLOAD)
    payload = image[setup + offset :][:length]
    if payload.startswith(b"\xfd7zXZ\0"):
        return lzma.LZMADecompressor().decompress(payload)
    if payload.startswith(b"\x1f\x8b"):
        return zlib.decompressobj(31).decompress(payload)
    raise SystemExit(f"{sys.argv[1]}: compressed in a way that is not known here: {payload[:8].hex()}")


kernel = unpacked(Path(sys.argv[1]).read_bytes())
if not kernel.startswith(b"\x7fELF"):
    raise SystemExit(f"{sys.argv[1]}: what is in it is no kernel")
Path(sys.argv[2]).write_bytes(kernel)
