"""Glasses of the gateway's open profile, after `runtime/core/OPEN_PROFILE.md`. Of each photo they lose one chunk."""

import asyncio
import struct
import time
import zlib

from peripheral import Characteristic, Glasses, Link, Permissions, Properties, Service, say

VERSION, SIZES, QUALITIES = 1, [320, 640, 1280], [50, 75, 90]
CAMERA, MICROPHONE, DISPLAY, MOTOR = 1, 2, 4, 8
SHORTEST_MS, OPUS_20_MS = 200, 7
PACKETS_PER_S, FRAME_BYTES = 50, 80
ONE_PHOTO = 0xFFFFFFFF
SINGLE = 1
# Of an attribute, whatever the MTU (Core 5.4, Vol 3, Part F, 3.2.9).
LONGEST_VALUE = 512
LOST = 7
# After this silence the end of a photo is told again, so often in all.
END_S, ENDS = 1, 10


def profile(number: int) -> str:
    return f"7B1D00{number:02X}-6C61-7373-642D-676C61737365"


def nearest(wanted: int, of: list[int]) -> int:
    return min(of, key=lambda one: abs(one - wanted))


class OpenLink(Link):
    def __init__(self, glasses: "Open", connection):
        super().__init__(glasses, connection)
        self.side, self.quality, self.interval_ms, self.listens = 640, 75, 0, False
        self.request, self.number, self.sending, self.text = None, -1, None, b""
        self.answers: asyncio.Queue = asyncio.Queue()
        self.spawn(self.speak(glasses.data, self.sound, PACKETS_PER_S))

    def is_heard(self, characteristic: Characteristic) -> bool:
        return self.listens and super().is_heard(characteristic)

    def room(self) -> int:
        return min(super().room(), LONGEST_VALUE)

    def sound(self, number: int) -> bytes:
        millis = int(time.monotonic() * 1000) & 0xFFFFFFFF
        return struct.pack("<BHI", 6, number & 0xFFFF, millis) + number.to_bytes(4, "little") * (FRAME_BYTES // 4)

    def tell(self, kind: int, layout: str, *fields: int) -> None:
        self.spawn(self.notify(self.glasses.data, struct.pack(f"<B{layout}", kind, *fields)))

    def written(self, value: bytes) -> None:
        kind, rest = value[0], value[1:]
        if kind == 0x40:
            abilities = CAMERA | MICROPHONE | DISPLAY | MOTOR
            self.tell(1, f"BBHHBHB{len(SIZES)}H", VERSION, abilities, self.room(), SHORTEST_MS, OPUS_20_MS, 0,
                      len(SIZES), *SIZES)
        elif kind in (0x42, 0x43, 0x44):
            # One that comes again is answered again, and not done again.
            if rest[0] != self.request:
                self.request = rest[0]
                self.do(kind, rest[1:])
            self.tell(2, "BHBIB", self.request, self.side, self.quality, self.interval_ms, self.listens)
        elif kind == 0x45:
            say("buzzes", *struct.unpack("<H", rest))
        elif kind in (0x46, 0x47):
            self.answers.put_nowait(value)
        elif kind == 0x48:
            self.show(rest)

    def do(self, kind: int, what: bytes) -> None:
        if kind == 0x42:
            side, quality = struct.unpack("<HB", what)
            self.side, self.quality = nearest(side, SIZES), nearest(quality, QUALITIES)
            say("camera", self.side, self.quality)
        elif kind == 0x44:
            self.listens = bool(what[0])
            say("listens", self.listens)
        else:
            (interval_ms,) = struct.unpack("<I", what)
            if interval_ms != ONE_PHOTO:
                self.interval_ms = interval_ms
            once = interval_ms == ONE_PHOTO
            if self.sending is None or self.sending.done():
                self.sending = self.spawn(self.shoot(once))

    def show(self, rest: bytes) -> None:
        piece, pieces = rest[9:11]
        self.text = (self.text if piece else b"") + rest[11:]
        if piece == pieces - 1:
            say("displays", self.text.hex())

    async def shoot(self, once: bool) -> None:
        while once or self.interval_ms:
            await self.send_photo()
            if once:
                return
            await asyncio.sleep(self.interval_ms / 1000)

    async def send_photo(self) -> None:
        """Sends a photo until the gateway says that it has it, or has given it up."""
        jpeg, size = self.glasses.options.jpeg, self.room() - 4
        chunks = [jpeg[at : at + size] for at in range(0, len(jpeg), size)]
        self.number = (self.number + 1) & 0xFF
        start = struct.pack("<BBIHIBQ", 3, self.number, len(jpeg), size, zlib.crc32(jpeg), 0, 0)
        await self.notify(self.glasses.data, start)
        await self.send(chunks, [index for index in range(len(chunks)) if index != LOST])
        for _ in range(ENDS):
            while (answer := await self.answer()) is not None:
                if answer[0] == 0x47:
                    return say("photo", len(jpeg), answer[2])
                if len(answer) == 4:
                    await self.notify(self.glasses.data, start)
                    continue
                first, bits = int.from_bytes(answer[2:4], "little"), answer[4:]
                missing = [first + bit for bit in range(8 * len(bits)) if bits[bit // 8] >> bit % 8 & 1]
                say("again", *missing)
                await self.send(chunks, missing)
            await self.notify(self.glasses.data, bytes([5, self.number]))
        say("problem", "nobody took the photo")

    async def answer(self) -> bytes | None:
        """What the gateway says of the photo, if it does in time. It asks again while what it asked for is on its way: the
        newest counts."""
        while True:
            try:
                answers = [await asyncio.wait_for(self.answers.get(), END_S)]
            except asyncio.TimeoutError:
                return None
            answers += (self.answers.get_nowait() for _ in range(self.answers.qsize()))
            for answer in reversed(answers):
                if answer[1] == self.number:
                    return answer

    async def send(self, chunks: list[bytes], wanted: list[int]) -> None:
        values = [struct.pack("<BBH", 4, self.number, index) + chunks[index] for index in wanted]
        await self.notify_all(self.glasses.data, [*values, bytes([5, self.number])])


class Open(Glasses):
    LINK, SERVICE = OpenLink, profile(0x10)

    def name(self, address) -> str:
        return "open glasses"

    def services(self) -> list[Service]:
        self.data = Characteristic(profile(0x12), Properties.NOTIFY, Permissions.READABLE, b"")
        control = Characteristic(profile(0x11), Properties.WRITE, Permissions.WRITEABLE, self.written(OpenLink.written))
        return [Service(profile(0x10), [control, self.data])]

    def begin(self, link: Link) -> None:
        link.spawn(self.tell_battery(link))

    async def tell_battery(self, link: Link) -> None:
        while not Link.is_heard(link, self.data):
            await asyncio.sleep(0.1)
        link.tell(9, "B", 87)

    def touch(self) -> None:
        for link in self.links.values():
            link.tell(7, "B", SINGLE)
