"""OmiGlass as a GATT peripheral, and a phone that connects to it: both Bumble, over its virtual link.

Reads one JSON object: `mtu`, `photo` (hex), `orientation`, `audio` (list of frames in hex), `uuids` (what the phone
looks for, by name), `writes` (list of [name, hex]). The glasses are built from the published protocol and know
nothing of that object but what they send. Writes what crossed the air, in order, one line each:
`read|notified|written <name> <hex>`; `written` is what the glasses got.
"""

import asyncio
import json
import struct
import sys

from bumble.device import Peer
from bumble.gatt import Characteristic, CharacteristicValue, Service
from bumble.testing.test_utils import TwoDevices

OMI = "-E8F2-537E-4F6C-D104768A1214"
READ, NOTIFY, WRITE = (
    Characteristic.Properties.READ,
    Characteristic.Properties.NOTIFY,
    Characteristic.Properties.WRITE,
)
CODEC_OPUS_320 = 21
BATTERY = 87
DOUBLE_TAP = 2


class Glasses:
    """Firmware 2.3.2 of OmiGlass, with the button and motor of Omi and an answer display."""

    def __init__(self, device, wanted):
        self.device, self.wanted = device, wanted
        self.packet_id = 65_530  # wraps soon
        self.photo = Characteristic("19B10005" + OMI, READ | NOTIFY, Characteristic.READABLE, b"")
        self.audio = Characteristic("19B10001" + OMI, READ | NOTIFY, Characteristic.READABLE, b"")
        self.battery = Characteristic("2A19", READ | NOTIFY, Characteristic.READABLE, bytes([BATTERY]))
        self.button = Characteristic(
            "23BA7925-0000-1000-7450-346EAC492E92", READ | NOTIFY, Characteristic.READABLE, bytes(8)
        )
        codec = Characteristic("19B10002" + OMI, READ, Characteristic.READABLE, bytes([CODEC_OPUS_320]))
        revision = Characteristic("2A26", READ, Characteristic.READABLE, b"2.3.2")
        device.add_services(
            [
                Service("19B10000" + OMI, [self.audio, codec, self.photo, self.writable("19B10006" + OMI, "photo_control")]),
                Service("180F", [self.battery]),
                Service("180A", [revision]),
                Service("23BA7924-0000-1000-7450-346EAC492E92", [self.button]),
                Service(
                    "CAB1AB95-2EA5-4F4D-BB56-874B72CFC984",
                    [self.writable("CAB1AB96-2EA5-4F4D-BB56-874B72CFC984", "haptic")],
                ),
                Service(
                    "7B1D0001-6C61-7373-642D-676C61737365",
                    [self.writable("7B1D0002-6C61-7373-642D-676C61737365", "answer_text")],
                ),
            ]
        )

    def writable(self, uuid, name):
        async def on_write(_connection, value):
            print("written", name, value.hex())
            if name == "photo_control" and struct.unpack("b", value) == (-1,):
                await self.send_all()

        return Characteristic(uuid, WRITE, Characteristic.WRITEABLE, CharacteristicValue(write=on_write))

    async def notify(self, characteristic, value):
        await self.device.notify_subscribers(characteristic, value)

    async def send_all(self):
        """A photo with audio in between, then a tap and the battery."""
        photo = bytes.fromhex(self.wanted["photo"])
        frames = [bytes.fromhex(frame) for frame in self.wanted["audio"]]
        await self.notify(self.photo, bytes([0, 0, self.wanted["orientation"]]) + photo[:199])
        for number, at in enumerate(range(199, len(photo), 200), start=1):
            await self.notify(self.photo, struct.pack("<H", number) + photo[at : at + 200])
            if frames:
                await self.send_audio(frames.pop(0))
        await self.notify(self.photo, b"\xff\xff")
        for frame in frames:
            await self.send_audio(frame)
        await self.notify(self.button, struct.pack("<ii", DOUBLE_TAP, 0))
        await self.notify(self.battery, bytes([BATTERY - 1]))

    async def send_audio(self, frame):
        fragment = self.wanted["mtu"] - 3 - 3
        for index, at in enumerate(range(0, len(frame), fragment)):
            header = struct.pack("<HB", self.packet_id % 65_536, index)
            self.packet_id += 1
            await self.notify(self.audio, header + frame[at : at + fragment])


async def main():
    wanted = json.load(sys.stdin)
    devices = TwoDevices()
    glasses = Glasses(devices[1], wanted)
    await devices.setup_connection()
    phone = Peer(devices.connections[0])
    mtu = await phone.request_mtu(wanted["mtu"])
    assert mtu == wanted["mtu"], mtu
    await phone.discover_services()
    found = {}
    for service in phone.services:
        for characteristic in await service.discover_characteristics():
            found[characteristic.uuid.to_hex_str().upper()] = characteristic
    remote = {}
    for name, uuid in wanted["uuids"].items():
        # Bumble shortens UUIDs of the Bluetooth SIG to their 16 bits.
        short = uuid[4:8] if uuid.startswith("0000") and uuid.endswith("00001000800000805F9B34FB") else uuid
        remote[name] = found[short]
    for name in ("codec", "firmware_revision"):
        print("read", name, (await remote[name].read_value()).hex())
    done = asyncio.get_running_loop().create_future()

    def on_value(name):
        def on_value(value):
            print("notified", name, value.hex())
            if name == "battery_level" and not done.done():
                done.set_result(None)

        return on_value

    for name in ("photo_data", "audio", "button", "battery_level"):
        await phone.subscribe(remote[name], on_value(name))
    for name, value in wanted["writes"]:
        await remote[name].write_value(bytes.fromhex(value), with_response=True)
    await done


asyncio.run(asyncio.wait_for(main(), timeout=60))
