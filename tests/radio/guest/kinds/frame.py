"""Brilliant's Frame with an app that is sent to it and speaks the messages of `frame_msg`."""

import asyncio
import re
import struct
import time

from kinds.frame_firmware import BATTERY, FrameFirmware, FrameLink
from peripheral import say

# To the Frame.
TEXT, CAPTURE, MICROPHONE = 0x0A, 0x0D, 0x30
# From the Frame.
TAKEN, REFUSED, AUDIO, PHOTO, PHOTO_END, TAP, MOTION, LEVEL = 0, 1, 5, 7, 8, 9, 0x0A, 0x0C
GREETING = re.compile(r"^print\('([^']*)'\)$", re.MULTILINE)


class AppLink(FrameLink):
    def reset(self) -> None:
        super().reset()
        self.arriving: dict[int, tuple[int, bytes]] = {}
        self.inbox: list[tuple[int, bytes]] = []
        self.photo, self.hears_data = b"", False

    def handle_data(self, data: bytes) -> None:
        if self.hears_data:
            self.spawn(self.send(bytes([self.received(data)])))

    def received(self, data: bytes) -> int:
        """Puts a message together from its chunks."""
        code, rest = data[0], data[1:]
        if code not in self.arriving:
            if len(rest) < 2:
                return REFUSED
            self.arriving[code] = (int.from_bytes(rest[:2], "big"), b"")
            rest = rest[2:]
        size, held = self.arriving[code]
        self.arriving[code] = (size, held + rest)
        if len(held + rest) >= size:
            self.inbox.append((code, self.arriving.pop(code)[1]))
        return TAKEN

    async def loaded(self, name: str, source: str) -> None:
        greeting = GREETING.search(source)
        if greeting is None or "frame.bluetooth.receive_callback" not in source:
            return
        self.hears_data, self.photo, self.taps, motion_due = True, b"", 0, 0.0
        await self.print(greeting[1])
        say("runs", name)
        await self.send(bytes([LEVEL, int(BATTERY)]))
        try:
            while True:
                while self.inbox:
                    await self.handle(*self.inbox.pop(0))
                while self.taps:
                    self.taps -= 1
                    await self.send(bytes([TAP]))
                await self.send_photo()
                await self.send_sound(bytes([AUDIO]), self.longest() - 1)
                if time.monotonic() >= motion_due:
                    motion_due = time.monotonic() + 1
                    await self.send(struct.pack("<Bxhhhhhh", MOTION, 1, 2, 3, 0, -4096, 0))
                await asyncio.sleep(0.001)
        finally:
            self.hears_data, self.sound_due = False, None

    async def handle(self, code: int, message: bytes) -> None:
        if code == TEXT:
            say("displays", message[6:].hex())
        elif code == CAPTURE:
            quality, half, pan, raw = struct.unpack(">BHHB", message)
            say("captures", quality, half * 2, pan - 140, raw)
            self.photo = self.glasses.options.jpeg
        elif code == MICROPHONE:
            rate, depth = struct.unpack(">HB", message)
            await self.stop_listening()
            if rate:
                self.listen(rate, depth)

    async def send_photo(self) -> None:
        """Sends at most one packet, so that sound need not wait for a photo."""
        if self.photo:
            size = self.longest() - 1
            await self.send(bytes([PHOTO]) + self.photo[:size])
            self.photo = self.photo[size:]
            if not self.photo:
                await self.send(bytes([PHOTO_END]))
                say("photo", len(self.glasses.options.jpeg))


class Frame(FrameFirmware):
    LINK = AppLink
