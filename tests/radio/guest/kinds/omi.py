"""OmiGlass, as firmware 2.3.2 is: photos when asked, in chunks of at most 200 bytes; 50 Opus packets a second; battery
and device information; and the answer characteristic of the gateway's own."""

import asyncio
import struct

from bumble.att import ATT_Error
from bumble.core import UUID
from bumble.gatt import CharacteristicValue
from peripheral import Characteristic, Glasses, Link, Permissions, Properties, Service, say

CHUNK = 200
PACKETS_PER_S = 50
# What other glasses do wrong: a battery that cannot be read, answers that are not taken, subscriptions that are lost.
FLAWS = ["no-battery", "no-answers", "forgets"]
# What the codec can be read with.
GUARDS = {
    "none": Permissions(0),
    "just-works": Permissions.READ_REQUIRES_ENCRYPTION,
    "passkey": Permissions.READ_REQUIRES_AUTHENTICATION,
    "comparison": Permissions.READ_REQUIRES_AUTHENTICATION,
}


def omi(number: int) -> str:
    return f"19B100{number:02X}-E8F2-537E-4F6C-D104768A1214"


def packet(number: int) -> bytes:
    return struct.pack("<HB", number & 0xFFFF, 0) + number.to_bytes(4, "little") * 20


def refuse(*_) -> None:
    raise ATT_Error(0x0E)


class OmiLink(Link):
    shooting, is_asked = None, False

    async def forget(self) -> None:
        await asyncio.sleep(5)
        self.device.gatt_server.subscribers.pop(self.connection, None)
        say("forgot")

    def ask(self) -> None:
        """One photo at a time: who asks while one is sent gets the next one after it."""
        self.is_asked = True
        if self.shooting is None or self.shooting.done():
            self.shooting = self.spawn(self.shoot_while_asked())

    async def shoot_while_asked(self) -> None:
        while self.is_asked:
            self.is_asked = False
            await self.shoot()

    async def shoot(self) -> None:
        jpeg, chunk = self.glasses.options.jpeg, min(CHUNK, self.connection.att_mtu - 5)
        # The first chunk has the orientation in the place of one byte.
        values = [b"\0\0\0" + jpeg[: chunk - 1]]
        rest = jpeg[chunk - 1 :]
        values += [struct.pack("<H", at // chunk + 1) + rest[at : at + chunk] for at in range(0, len(rest), chunk)]
        await self.notify_all(self.glasses.photo, [*values, b"\xff\xff"])
        say("photo", len(jpeg))

    def control(self, value: bytes) -> None:
        if value == b"\xff":
            self.ask()


class Omi(Glasses):
    LINK, SERVICE = OmiLink, omi(0)

    def name(self, address) -> str:
        return "OMI Glass"

    def services(self) -> list[Service]:
        readable = Permissions.READABLE | GUARDS[self.options.security]
        notify, read, write = Properties.NOTIFY, Properties.READ, Properties.WRITE
        self.audio = Characteristic(omi(1), notify | read, Permissions.READABLE, b"")
        self.photo = Characteristic(omi(5), notify | read, Permissions.READABLE, b"")
        battery = Characteristic(UUID.from_16_bits(0x2A19), notify | read, Permissions.READABLE, bytes([87]))
        buzz = self.written(lambda _, value: say("buzzes", value.hex()))
        answer = self.written(lambda _, value: say("told", value.hex()))
        if self.options.flaw == "no-battery":
            battery.value = CharacteristicValue(read=refuse)
        if self.options.flaw == "no-answers":
            answer = CharacteristicValue(write=refuse)
        return [
            Service(omi(0), [
                self.audio,
                Characteristic(omi(2), read, readable, bytes([20])),
                self.photo,
                Characteristic(omi(6), write | Properties.WRITE_WITHOUT_RESPONSE, Permissions.WRITEABLE,
                               self.written(OmiLink.control)),
            ]),
            Service("CAB1AB95-2EA5-4F4D-BB56-874B72CFC984",
                    [Characteristic("CAB1AB96-2EA5-4F4D-BB56-874B72CFC984", write, Permissions.WRITEABLE, buzz)]),
            Service("7B1D0001-6C61-7373-642D-676C61737365",
                    [Characteristic("7B1D0002-6C61-7373-642D-676C61737365", write, Permissions.WRITEABLE, answer)]),
            Service(UUID.from_16_bits(0x180F), [battery]),
            Service(UUID.from_16_bits(0x180A),
                    [Characteristic(UUID.from_16_bits(0x2A26), read, Permissions.READABLE, b"2.3.2")]),
        ]

    def begin(self, link: Link) -> None:
        link.spawn(link.speak(self.audio, packet, PACKETS_PER_S))
        if self.options.flaw == "forgets":
            link.spawn(link.forget())
