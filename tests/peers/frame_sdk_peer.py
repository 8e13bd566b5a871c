"""Notifications and texts as `frame-sdk` takes them.

`frame_sdk_peer.py decode` reads notifications, one hex line each, and writes `photo <hex>`, `audio <hex>`, `tap`, or
`error` where the package raises.

`frame_sdk_peer.py wrap` reads a JSON list of texts, and writes a JSON list of the lines of each.

`frame_sdk_peer.py library` writes the name under which the package leaves its functions on a Frame.
"""

import asyncio
import hashlib
import importlib.metadata
import importlib.util
import json
import sys


def module(name):
    # The package's own __init__ imports what plays sound, which is not installed.
    path = importlib.metadata.distribution("frame-sdk").locate_file(f"frame_sdk/{name}.py")
    spec = importlib.util.spec_from_file_location(f"frame_sdk.{name}", path)
    loaded = importlib.util.module_from_spec(spec)
    sys.modules[f"frame_sdk.{name}"] = loaded
    spec.loader.exec_module(loaded)
    return loaded


async def decode():
    bluetooth = module("bluetooth")
    peer = bluetooth.Bluetooth()
    prefixes = bluetooth.FrameDataTypePrefixes
    peer.register_data_response_handler(prefixes.MIC_DATA, lambda samples: print("audio", samples.hex()))
    peer.register_data_response_handler(prefixes.TAP, lambda _: print("tap"))
    for line in sys.stdin:
        notification = bytearray.fromhex(line)
        try:
            await peer._notification_handler(None, notification)
        except Exception:
            print("error")
            peer._ongoing_data_response = peer._ongoing_data_response_chunk_count = None
            continue
        if notification[:2] == bytes([1, prefixes.LONG_DATA_END.value]):
            print("photo", peer._last_data_response.hex())


def wrap():
    display = module("display").Display(None)
    print(json.dumps([display.wrap_text(text, 640).split("\n") for text in json.load(sys.stdin)]))


def library():
    module("bluetooth")
    functions = module("library_functions").library_print_long
    print(f"lib-{hashlib.sha256(functions.encode()).hexdigest()[:6]}/prntLng")


{"decode": lambda: asyncio.run(decode()), "wrap": wrap, "library": library}[sys.argv[1]]()
