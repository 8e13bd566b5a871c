"""Glasses of the open profile, and a phone that connects to them: both Bumble, over its virtual link.

The glasses follow `runtime/core/OPEN_PROFILE.md`; their first sending of a photo leaves out every fifth chunk. Reads one
JSON object on the first line: `mtu`, `jpeg` (hex), `control` and `data` (UUIDs that the phone looks for); then what the
phone writes to OpenControl, one value in hex a line, until the end. Writes one line each: `ready` when it is
subscribed, `notified <hex>`, and of the glasses `done <outcome>` and `text <kind> <query> <hex>`.
"""

import asyncio
import json
import struct
import sys
import zlib

from bumble.device import Peer
from bumble.gatt import Characteristic, CharacteristicValue, Service
from bumble.testing.test_utils import TwoDevices

SUFFIX = "-6C61-7373-642D-676C61737365"
PHOTO = 255  # the next number would be 0
ONE_PHOTO = 0xFFFFFFFF


def say(*words):
    print(*words, flush=True)


class Glasses:
    def __init__(self, device, mtu, jpeg):
        self.device, self.mtu, self.jpeg, self.text = device, mtu, jpeg, b""
        self.data = Characteristic("7B1D0012" + SUFFIX, Characteristic.Properties.NOTIFY, Characteristic.READABLE, b"")
        control = Characteristic(
            "7B1D0011" + SUFFIX,
            Characteristic.Properties.WRITE,
            Characteristic.WRITEABLE,
            CharacteristicValue(write=self.on_write),
        )
        device.add_services([Service("7B1D0010" + SUFFIX, [control, self.data])])

    async def notify(self, value):
        assert len(value) <= self.mtu - 3, len(value)
        await self.device.notify_subscribers(self.data, value)

    async def announce(self):
        fields = (PHOTO, len(self.jpeg), self.mtu - 7, zlib.crc32(self.jpeg), 3, 0)
        await self.notify(b"\x03" + struct.pack("<BIHIBQ", *fields))

    async def send(self, indices):
        length = self.mtu - 7
        for index in indices:
            chunk = self.jpeg[index * length : (index + 1) * length]
            await self.notify(b"\x04" + struct.pack("<BH", PHOTO, index) + chunk)
        await self.notify(bytes([5, PHOTO]))

    async def on_write(self, _connection, value):
        kind, rest = value[0], value[1:]
        if kind == 0x40:
            await self.notify(struct.pack("<BBBHHBHBHH", 1, 1, 0b101, self.mtu - 3, 500, 0, 0, 2, 640, 1280))
        elif kind == 0x43:
            request, interval = struct.unpack("<BI", rest)
            await self.notify(struct.pack("<BBHBIB", 2, request, 640, 80, 0, 0))
            if interval == ONE_PHOTO:
                await self.announce()
                chunks = -(-len(self.jpeg) // (self.mtu - 7))
                await self.send(index for index in range(chunks) if index % 5)
        elif kind == 0x46:
            photo, first = struct.unpack_from("<BH", rest)
            assert photo == PHOTO
            bits = rest[3:]
            if bits:
                await self.send(first + bit for bit in range(8 * len(bits)) if bits[bit // 8] >> bit % 8 & 1)
            else:
                await self.announce()
        elif kind == 0x47:
            say("done", rest[1])
        elif kind == 0x48:
            text_kind, query, piece, pieces = struct.unpack_from(">BQBB", rest)
            self.text = (self.text if piece else b"") + rest[11:]
            if piece == pieces - 1:
                say("text", text_kind, query, self.text.hex())


async def main():
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    wanted = json.loads(await reader.readline())
    devices = TwoDevices()
    Glasses(devices[1], wanted["mtu"], bytes.fromhex(wanted["jpeg"]))
    await devices.setup_connection()
    phone = Peer(devices.connections[0])
    mtu = await phone.request_mtu(wanted["mtu"])
    assert mtu == wanted["mtu"], mtu
    await phone.discover_services()
    found = {}
    for service in phone.services:
        for characteristic in await service.discover_characteristics():
            found[characteristic.uuid.to_hex_str().upper()] = characteristic
    await phone.subscribe(found[wanted["data"]], lambda value: say("notified", value.hex()))
    say("ready")
    while line := await reader.readline():
        await found[wanted["control"]].write_value(bytes.fromhex(line.decode().strip()), with_response=True)


asyncio.run(asyncio.wait_for(main(), timeout=60))
