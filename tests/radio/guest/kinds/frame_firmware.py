"""Firmware of Brilliant's Frame: Lua, a line at a time, behind one characteristic each way.

There is no Lua here: of the language it knows the statements that hosts are known to send, and refuses others as Lua
would. What an app does that runs on it is told by its kind.
"""

import asyncio
import re
import time

from peripheral import Characteristic, Glasses, Link, Permissions, Properties, Service, say

BATTERY = 87.0
STRING = r"""(?:"((?:[^"\\]|\\.)*)"|'((?:[^'\\]|\\.)*)')"""
ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "0": "\0"}


def frame(number: int) -> str:
    return f"7A23000{number}-5475-A6A4-654C-8431F6AD49C4"


def unquoted(*either: str | None) -> str:
    """The text of a string in double or single quotes."""
    quoted = next(text for text in either if text is not None)

    def plain(escape: re.Match) -> str:
        kind = escape[1]
        return chr(int(kind[1:], 16)) if len(kind) == 3 else ESCAPES.get(kind, kind)

    return re.sub(r"\\(x[0-9A-Fa-f]{2}|.)", plain, quoted, flags=re.DOTALL)


class LuaError(Exception):
    """What Lua prints in place of a result."""


class FrameLink(Link):
    def __init__(self, glasses: "FrameFirmware", connection):
        super().__init__(glasses, connection)
        self.has_line = asyncio.Event()
        self.reset()
        self.spawn(self.repl())

    def reset(self) -> None:
        """Lua begins anew."""
        self.line, self.running, self.file = None, None, None
        self.drawn, self.taps, self.sound_due, self.sound_time = [], 0, None, 0.0

    def written(self, value: bytes) -> None:
        if value[0] == 1:
            self.handle_data(value[1:])
        elif value[0] == 3:
            if self.running:
                self.running.cancel()
        else:
            if self.line is not None:
                say("problem", "a line was written over", self.line)
            self.line = value
            self.has_line.set()

    def handle_data(self, data: bytes) -> None:
        """Data for an app; without one it is lost."""

    async def repl(self) -> None:
        while True:
            await self.has_line.wait()
            self.has_line.clear()
            line, self.line = self.line, None
            if line == b"\4":
                self.reset()
                continue
            self.running = self.spawn(self.guarded(line.decode()))
            await asyncio.wait({self.running})
            if self.running.cancelled():
                await self.print("break signal")
            self.running = None

    async def guarded(self, source: str) -> None:
        try:
            await self.run(source)
        except LuaError as error:
            say("problem", error)
            await self.print(str(error))

    async def run(self, source: str) -> None:
        at = 0
        while at < len(source):
            found = ((pattern.match(source, at), action) for pattern, action in self.STATEMENTS)
            match, action = next(((match, action) for match, action in found if match), (None, None))
            if match is None:
                raise LuaError(f"syntax error near {source[at:at + 40]!r}")
            await action(self, *match.groups())
            at = match.end()

    async def send(self, data: bytes) -> None:
        """As `frame.bluetooth.send`."""
        await self.notify(self.glasses.to_host, b"\1" + data)
        await self.drained()

    async def print(self, text: str) -> None:
        await self.notify(self.glasses.to_host, text.encode())

    async def print_level(self) -> None:
        await self.print(str(BATTERY))

    async def open(self, name: str) -> None:
        self.file, self.glasses.files[name] = name, ""

    async def write(self, *text: str | None) -> None:
        if self.file is None:
            raise LuaError("attempt to index a nil value (global 'f')")
        self.glasses.files[self.file] += unquoted(*text)

    async def close(self) -> None:
        say("uploaded", self.file, len(self.glasses.files[self.file]))
        self.file = None

    async def require(self, *name: str | None) -> None:
        name = unquoted(*name)
        if f"{name}.lua" not in self.glasses.files:
            raise LuaError(f"cannot open file: {name}.lua")
        await self.loaded(name, self.glasses.files[f"{name}.lua"])

    async def loaded(self, name: str, source: str) -> None:
        """Runs a file."""

    async def draw(self, *text_and_place: str | None) -> None:
        *text, x, y = text_and_place
        self.drawn.append((int(y), int(x), unquoted(*text)))

    async def show(self) -> None:
        say("displays", "\n".join(text for _, _, text in sorted(self.drawn)).encode().hex())
        self.drawn = []

    def listen(self, rate: int, depth: int) -> None:
        """Turns the microphone on."""
        if rate not in (8000, 16000) or depth not in (8, 16):
            raise LuaError("invalid sample rate or bit depth")
        say("listens", rate, depth)
        self.sound_due, self.sound_time = time.monotonic(), 8 / rate / depth

    async def stop_listening(self) -> None:
        self.sound_due = None

    async def send_sound(self, code: bytes, longest: int) -> None:
        """Sends what was heard by now; the microphone gives even numbers of bytes only."""
        size = longest - longest % 2
        packets = self.glasses.options.packets
        while self.sound_due is not None and self.sound_due <= time.monotonic():
            self.sound_due += 1 / packets if packets else size * self.sound_time
            if not self.is_silent:
                self.glasses.frames_sent += 1
                await self.send(code + self.glasses.frames_sent.to_bytes(4, "little") * (size // 4) + bytes(size % 4))

    def longest(self) -> int:
        """As `frame.bluetooth.max_length`."""
        return self.room() - 1

    STATEMENTS = [
        (re.compile(pattern + r"(?:;|$)", re.DOTALL), action)
        for pattern, action in [
            (r"print\((\d+)\)", print),
            (r"print\(frame\.battery_level\(\)\)", print_level),
            (r"f=frame\.file\.open\('([^']*)','w'\)", open),
            (rf"f:write\({STRING}\)", write),
            (r"f:close\(\)", close),
            (rf"require\({STRING}\)", require),
            (rf"frame\.display\.text\({STRING},(\d+),(\d+)\)", draw),
            (r"frame\.display\.show\(\)", show),
            (r"frame\.microphone\.stop\(\)", stop_listening),
        ]
    ]


class FrameFirmware(Glasses):
    SERVICE, MTU, WANTS_BOND = frame(1), 247, True

    def name(self, address) -> str:
        return f"Frame {str(address)[:2]}"

    def services(self) -> list[Service]:
        # What is on the flash outlives links and resets.
        self.files: dict[str, str] = {}
        self.to_host = Characteristic(frame(3), Properties.NOTIFY, Permissions.READ_REQUIRES_ENCRYPTION, b"")
        from_host = Characteristic(
            frame(2), Properties.WRITE | Properties.WRITE_WITHOUT_RESPONSE,
            Permissions.WRITEABLE | Permissions.WRITE_REQUIRES_ENCRYPTION, self.written(FrameLink.written))
        return [Service(frame(1), [from_host, self.to_host])]

    def touch(self) -> None:
        for link in self.links.values():
            link.taps += 1
