#!/usr/bin/env python3
"""OmiGlass, played by Bumble: a stack that nobody here wrote.

    glasses.py TRANSPORT [--address C0:11:22:33:44:55] [--photo FILE] [--security none|just-works|passkey|comparison]

It does what firmware 2.3.2 does: photos when asked, in chunks of at most 200 bytes; 50 Opus packets a second; battery and
device information. Lines on standard output tell what happens: `told HEX` for each answer that reaches it. Signals play
what goes wrong: USR1 drops the link; TERM ends; STOP and CONT are a firmware that hangs.
"""

import argparse
import asyncio
import signal
import struct
import time

from bumble import hci
from bumble.core import UUID, AdvertisingData
from bumble.device import Device, DeviceConfiguration
from bumble.gatt import Characteristic, CharacteristicValue, Service
from bumble.pairing import PairingConfig, PairingDelegate
from bumble.transport import open_transport

NAME = "OMI Glass"
CHUNK = 200
Properties, Permissions = Characteristic.Properties, Characteristic.Permissions
# What the codec can be read with.
GUARDS = {
    "none": Permissions(0),
    "just-works": Permissions.READ_REQUIRES_ENCRYPTION,
    "passkey": Permissions.READ_REQUIRES_AUTHENTICATION,
    "comparison": Permissions.READ_REQUIRES_AUTHENTICATION,
}


def omi(number: int) -> str:
    return f"19B100{number:02X}-E8F2-537E-4F6C-D104768A1214"


def say(*words: object) -> None:
    print(f"{time.monotonic():.3f}", *words, flush=True)


class Wearer(PairingDelegate):
    """Whoever holds the glasses while they are paired."""

    def __init__(self, capability: int, passkey: int):
        super().__init__(io_capability=capability)
        self.passkey = passkey

    async def generate_passkey(self) -> int:
        return self.passkey

    async def display_number(self, number: int, digits: int) -> None:
        say("shows", f"{number:0{digits}}")

    async def compare_numbers(self, number: int, digits: int) -> bool:
        say("compares", f"{number:0{digits}}")
        return True

    async def confirm(self, auto: bool = False) -> bool:
        return True


class Link:
    """A link to one central: what it hears and sees."""

    def __init__(self, glasses: "Glasses", connection, address: hci.Address):
        self.glasses, self.device, self.connection, self.address = glasses, glasses.device, connection, address
        self.packet, self.shooting, self.is_asked = 0, None, False
        self.tasks = [asyncio.ensure_future(self.speak())]

    def end(self) -> None:
        for task in self.tasks:
            task.cancel()

    async def speak(self) -> None:
        due, audio = time.monotonic(), self.glasses.audio
        while True:
            if self.device.gatt_server.subscribers.get(self.connection, {}).get(audio.handle, b"\0")[0] & 1:
                frame = struct.pack("<HB", self.packet & 0xFFFF, 0) + self.packet.to_bytes(4, "little") * 20
                await self.device.notify_subscriber(self.connection, audio, frame)
                self.packet += 1
            due += 1 / self.glasses.packets_per_s
            await asyncio.sleep(max(0.0, due - time.monotonic()))

    def ask(self) -> None:
        """One photo at a time: who asks while one is sent gets the next one after it."""
        self.is_asked = True
        if self.shooting is None or self.shooting.done():
            self.shooting = asyncio.ensure_future(self.shoot_while_asked())
            self.tasks.append(self.shooting)

    async def shoot_while_asked(self) -> None:
        while self.is_asked:
            self.is_asked = False
            await self.shoot()

    async def shoot(self) -> None:
        jpeg, chunk = self.glasses.jpeg, min(CHUNK, self.connection.att_mtu - 5)
        # The first chunk has the orientation in the place of one byte.
        values = [b"\0\0\0" + jpeg[: chunk - 1]]
        rest = jpeg[chunk - 1 :]
        values += [struct.pack("<H", at // chunk + 1) + rest[at : at + chunk] for at in range(0, len(rest), chunk)]
        for number, value in enumerate([*values, b"\xff\xff"]):
            await self.device.notify_subscriber(self.connection, self.glasses.photo, value)
            if number % 8 == 7:
                await self.drained()
        await self.drained()
        say("photo", len(jpeg))

    async def drained(self) -> None:
        """Lets what the controller has not sent yet go out."""
        queue = self.device.host.get_data_packet_queue(self.connection.handle)
        if queue:
            await queue.drain(self.connection.handle)


class Glasses:
    """One pair of glasses for each address, on one controller."""

    def __init__(self, device: Device, addresses: list[str], jpeg: bytes, guard: Permissions, packets_per_s: int,
                 firmware: str):
        self.device, self.jpeg, self.packets_per_s = device, jpeg, packets_per_s
        self.addresses = [hci.Address(address) for address in addresses]
        self.links: dict[int, Link] = {}
        self.gone_at = dict.fromkeys(self.addresses, 0.0)
        readable, writable = Permissions.READABLE | guard, Permissions.WRITEABLE
        notify, read, write = Properties.NOTIFY, Properties.READ, Properties.WRITE
        self.audio = Characteristic(omi(1), notify | read, Permissions.READABLE, b"")
        self.photo = Characteristic(omi(5), notify | read, Permissions.READABLE, b"")
        battery = Characteristic(UUID.from_16_bits(0x2A19), notify | read, Permissions.READABLE, bytes([87]))
        control = CharacteristicValue(write=self.controlled)
        buzz = CharacteristicValue(write=lambda _, value: say("buzzes", value.hex()))
        answer = CharacteristicValue(write=lambda _, value: say("told", value.hex()))
        if firmware == "newer":
            # All handles are others now.
            device.add_service(Service("7B1D00FE-6C61-7373-642D-676C61737365",
                                       [Characteristic("7B1D00FF-6C61-7373-642D-676C61737365", read, readable, b"2")]))
        device.add_services([
            Service(omi(0), [
                self.audio,
                Characteristic(omi(2), read, readable, bytes([20])),
                self.photo,
                Characteristic(omi(6), write | Properties.WRITE_WITHOUT_RESPONSE, writable, control),
            ]),
            Service("CAB1AB95-2EA5-4F4D-BB56-874B72CFC984",
                    [Characteristic("CAB1AB96-2EA5-4F4D-BB56-874B72CFC984", write, writable, buzz)]),
            Service("7B1D0001-6C61-7373-642D-676C61737365",
                    [Characteristic("7B1D0002-6C61-7373-642D-676C61737365", write, writable, answer)]),
            Service(UUID.from_16_bits(0x180F), [battery]),
            Service(UUID.from_16_bits(0x180A),
                    [Characteristic(UUID.from_16_bits(0x2A26), read, Permissions.READABLE, b"2.3.2")]),
        ])
        device.on("connection", self.connected)

    def connected(self, connection) -> None:
        handle, address = connection.handle, connection.self_address
        say("connected", address)
        link = self.links[handle] = Link(self, connection, address)

        def disconnected(reason: int) -> None:
            say("disconnected", address, reason)
            link.end()
            del self.links[handle]
            self.gone_at[address] = time.monotonic()

        connection.on("disconnection", disconnected)
        connection.on("pairing", lambda keys: say("paired"))
        connection.on("pairing_failure", lambda reason: say("pairing failed", reason))

    def controlled(self, connection, value: bytes) -> None:
        if value == b"\xff":
            self.links[connection.handle].ask()

    def drop(self) -> None:
        """Drops the link of the first pair."""
        for link in self.links.values():
            if link.address == self.addresses[0]:
                asyncio.ensure_future(link.connection.disconnect())

    async def be_silent(self) -> None:
        """Ends the advertising; what a link has ended already is no error."""
        advertiser, self.device.legacy_advertising_set = self.device.legacy_advertising_set, None
        for step in (advertiser.stop, advertiser.remove) if advertiser else ():
            try:
                await step()
            except hci.HCI_Error:
                pass
        if advertiser:
            self.device.extended_advertising_sets.pop(advertiser.advertising_handle, None)

    async def advertise(self, ended: asyncio.Event) -> None:
        services = AdvertisingData.COMPLETE_LIST_OF_128_BIT_SERVICE_CLASS_UUIDS
        told = bytes(AdvertisingData([(AdvertisingData.FLAGS, bytes([6])), (services, bytes(UUID(omi(0))))]))
        name = bytes(AdvertisingData([(AdvertisingData.COMPLETE_LOCAL_NAME, NAME.encode())]))
        say("advertises")
        # The virtual controller reports one advertisement each time that advertising is turned on, a real one all the
        # time; so it is turned on again and again while nobody is connected. It ends all that is advertised with the
        # first link, which Bumble takes for a link of each: one at a time, then.
        turn = 0
        while not ended.is_set():
            linked = {link.address for link in self.links.values()}
            free = [one for one in self.addresses if one not in linked and time.monotonic() - self.gone_at[one] > 0.5]
            await self.be_silent()
            if free:
                self.device.random_address, turn = free[turn % len(free)], turn + 1
                try:
                    await self.device.start_advertising(advertising_data=told, scan_response_data=name,
                                                        advertising_interval_min=100, advertising_interval_max=100)
                except hci.HCI_Error:
                    # Somebody connects at this moment.
                    pass
            await asyncio.sleep(0.4)
        # A virtual controller that is reset with a link leaves its peer believing in it for ever.
        for link in list(self.links.values()):
            await link.connection.disconnect()


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("transport")
    parser.add_argument("--address", action="append", help="may be given for each of several pairs")
    parser.add_argument("--packets", type=int, default=50, help="audio packets a second")
    parser.add_argument("--photo", default="/share/guest/photo.jpg")
    parser.add_argument("--security", default="none", choices=list(GUARDS))
    parser.add_argument("--firmware", choices=["older", "newer"], help="one that does not tell when its table changes")
    parser.add_argument("--passkey", type=int, default=123456)
    arguments = parser.parse_args()
    addresses = arguments.address or ["C0:11:22:33:44:55"]
    async with await open_transport(arguments.transport) as (source, sink):
        settings = DeviceConfiguration(name=NAME, address=hci.Address(addresses[0]))
        device = Device.from_config_with_hci(settings, source, sink)
        capability = {
            "passkey": PairingDelegate.DISPLAY_OUTPUT_ONLY,
            "comparison": PairingDelegate.DISPLAY_OUTPUT_AND_YES_NO_INPUT,
        }.get(arguments.security, PairingDelegate.NO_OUTPUT_NO_INPUT)
        is_guarded = arguments.security in ("passkey", "comparison")
        device.pairing_config_factory = lambda _: PairingConfig(
            sc=True, mitm=is_guarded, bonding=True, delegate=Wearer(capability, arguments.passkey))
        with open(arguments.photo, "rb") as file:
            jpeg = file.read()
        glasses = Glasses(device, addresses, jpeg, GUARDS[arguments.security], arguments.packets,
                          arguments.firmware)
        loop, ended = asyncio.get_running_loop(), asyncio.Event()
        loop.add_signal_handler(signal.SIGUSR1, glasses.drop)
        loop.add_signal_handler(signal.SIGTERM, ended.set)
        await device.power_on()
        await glasses.advertise(ended)


asyncio.run(main())
