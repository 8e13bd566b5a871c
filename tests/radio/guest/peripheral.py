"""What glasses of every kind have in common: they advertise, have links, and lose them."""

import asyncio
import time
from dataclasses import dataclass

from bumble import hci
from bumble.core import UUID, AdvertisingData
from bumble.device import Device
from bumble.gatt import Characteristic, CharacteristicValue, Service

Properties, Permissions = Characteristic.Properties, Characteristic.Permissions


def say(*words: object) -> None:
    print(f"{time.monotonic():.3f}", *words, flush=True)


@dataclass
class Options:
    """How a pair of glasses differs from others of its kind."""

    addresses: list[str]
    jpeg: bytes
    # Audio packets a second; none for as many as the firmware sends.
    packets: float | None
    security: str
    # One that does not tell when its GATT table changes: "older", "newer"; none for one that tells.
    firmware: str | None = None
    # What it does wrong; none for nothing.
    flaw: str | None = None


class Link:
    """A link to one central."""

    def __init__(self, glasses: "Glasses", connection):
        self.glasses, self.device, self.connection = glasses, glasses.device, connection
        self.address = connection.self_address
        self.is_silent = False
        self.tasks = set()

    def spawn(self, work) -> asyncio.Task:
        """Does something that ends with the link."""
        task = asyncio.ensure_future(work)
        self.tasks.add(task)
        task.add_done_callback(self.finished)
        return task

    def finished(self, task: asyncio.Task) -> None:
        self.tasks.discard(task)
        if not task.cancelled() and task.exception():
            say("problem", repr(task.exception()))

    def end(self) -> None:
        for task in list(self.tasks):
            task.cancel()

    def room(self) -> int:
        """The longest value that can be notified."""
        return self.connection.att_mtu - 3

    def is_heard(self, characteristic: Characteristic) -> bool:
        subscribed = self.device.gatt_server.subscribers.get(self.connection, {})
        return bool(subscribed.get(characteristic.handle, b"\0")[0] & 1)

    async def notify(self, characteristic: Characteristic, value: bytes) -> None:
        if len(value) > self.room():
            raise ValueError(f"{len(value)} bytes where {self.room()} have room")
        await self.device.notify_subscriber(self.connection, characteristic, value)

    async def notify_all(self, characteristic: Characteristic, values: list[bytes]) -> None:
        for number, value in enumerate(values):
            await self.notify(characteristic, value)
            if number % 8 == 7:
                await self.drained()
        await self.drained()

    async def drained(self) -> None:
        """Lets what the controller has not sent yet go out."""
        queue = self.device.host.get_data_packet_queue(self.connection.handle)
        if queue:
            await queue.drain(self.connection.handle)

    async def speak(self, characteristic: Characteristic, packet, packets_per_s: float, frames: int = 1) -> None:
        """Sends sound in real time: `packet` makes the value with a number, which has so many frames of the codec."""
        due, number = time.monotonic(), 0
        while True:
            if not self.is_silent and self.is_heard(characteristic):
                self.glasses.frames_sent += frames
                await self.notify(characteristic, packet(number))
                number += 1
            due += 1 / (self.glasses.options.packets or packets_per_s)
            await asyncio.sleep(max(0.0, due - time.monotonic()))


class Glasses:
    """Glasses of one kind, on one controller: each of its addresses is a Bluetooth device, with a link of its own."""

    LINK = Link
    # The service that is advertised, and the longest ATT packet that the firmware takes.
    SERVICE, MTU = "", 517
    # Whether the firmware asks for a bond as soon as it is connected.
    WANTS_BOND = False

    def __init__(self, device: Device, options: Options):
        self.device, self.options = device, options
        self.addresses = [hci.Address(address) for address in options.addresses]
        self.links: dict[int, Link] = {}
        self.gone_at = dict.fromkeys(self.addresses, 0.0)
        # Frames of sound that were sent, over all links.
        self.frames_sent = 0
        device.gatt_server.max_mtu = self.MTU
        if options.firmware == "newer":
            # All handles are others now.
            new = Characteristic("7B1D00FF-6C61-7373-642D-676C61737365", Properties.READ, Permissions.READABLE, b"2")
            device.add_service(Service("7B1D00FE-6C61-7373-642D-676C61737365", [new]))
        device.add_services(self.services())
        device.on("connection", self.connected)

    def name(self, address: hci.Address) -> str:
        raise NotImplementedError

    def services(self) -> list[Service]:
        raise NotImplementedError

    def begin(self, link: Link) -> None:
        """Does what the firmware does by itself once it is connected."""

    def touch(self) -> None:
        """The wearer touches the glasses once."""
        say("feels nothing")

    def written(self, handle) -> CharacteristicValue:
        """The value of a characteristic whose writes a link takes."""
        return CharacteristicValue(write=lambda connection, value: handle(self.links[connection.handle], bytes(value)))

    def connected(self, connection) -> None:
        handle, address = connection.handle, connection.self_address
        say("connected", address)
        link = self.links[handle] = self.LINK(self, connection)

        def disconnected(reason: int) -> None:
            say("disconnected", address, reason)
            link.end()
            del self.links[handle]
            self.gone_at[address] = time.monotonic()

        connection.on("disconnection", disconnected)
        connection.on("pairing", lambda keys: say("paired"))
        connection.on("pairing_failure", lambda reason: say("pairing failed", reason))
        self.begin(link)
        if self.WANTS_BOND:
            connection.request_pairing()

    def first(self) -> Link | None:
        return next((link for link in self.links.values() if link.address == self.addresses[0]), None)

    def drop(self) -> None:
        """Drops the link of the first device."""
        if link := self.first():
            asyncio.ensure_future(link.connection.disconnect())

    def be_silent(self) -> None:
        """Sends no more sound over these links, and tells how much there was."""
        for link in self.links.values():
            link.is_silent = True
        say("silent", self.frames_sent)

    async def stop_advertising(self) -> None:
        """What a link has ended already is no error."""
        advertiser, self.device.legacy_advertising_set = self.device.legacy_advertising_set, None
        for step in (advertiser.stop, advertiser.remove) if advertiser else ():
            try:
                await step()
            except hci.HCI_Error:
                pass
        if advertiser:
            self.device.extended_advertising_sets.pop(advertiser.advertising_handle, None)

    async def start_advertising(self, address: hci.Address) -> None:
        self.device.random_address = address
        told = [(AdvertisingData.FLAGS, bytes([6]))]
        if self.SERVICE:
            services = AdvertisingData.COMPLETE_LIST_OF_128_BIT_SERVICE_CLASS_UUIDS
            told.append((services, UUID(self.SERVICE).to_bytes(True)))
        name = [(AdvertisingData.COMPLETE_LOCAL_NAME, self.name(address).encode())]
        try:
            await self.device.start_advertising(
                advertising_data=bytes(AdvertisingData(told)), scan_response_data=bytes(AdvertisingData(name)),
                advertising_interval_min=100, advertising_interval_max=100)
        except hci.HCI_Error:
            # Somebody connects at this moment.
            pass

    async def advertise(self, ended: asyncio.Event) -> None:
        say("advertises")
        # The virtual controller reports one advertisement each time that advertising is turned on, a real one all the
        # time; so it is turned on again and again while nobody is connected. It ends all that is advertised with the
        # first link, which Bumble takes for a link of each: one at a time, then.
        turn = 0
        while not ended.is_set():
            linked = {link.address for link in self.links.values()}
            free = [one for one in self.addresses if one not in linked and time.monotonic() - self.gone_at[one] > 0.5]
            await self.stop_advertising()
            if free:
                await self.start_advertising(free[turn % len(free)])
                turn += 1
            await asyncio.sleep(0.4)
        # A virtual controller that is reset with a link leaves its peer believing in it for ever.
        for link in list(self.links.values()):
            await link.connection.disconnect()
