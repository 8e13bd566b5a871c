"""Brilliant's Frame with the library that `frame-sdk` 1.2.4 leaves on it, whose functions are called in Lua."""

import asyncio
import re

from kinds.frame_firmware import STRING, FrameFirmware, FrameLink, LuaError, unquoted
from peripheral import say

# `library_functions.py`, under its SHA-256.
LIBRARY = "lib-b6c885/prntLng"
DATA, DATA_END, AUDIO = b"\1", b"\2", b"\5"


class SdkLink(FrameLink):
    def reset(self) -> None:
        super().reset()
        self.has_library, self.tap_data = False, b""

    async def loaded(self, name: str, source: str) -> None:
        self.has_library |= name == LIBRARY

    def require_library(self, function: str) -> None:
        if not self.has_library:
            raise LuaError(f"attempt to call a nil value (global '{function}')")

    async def on_tap(self, *text: str | None) -> None:
        self.tap_data = unquoted(*text).encode("latin-1")

    async def capture(self, quality: str, seconds: str, metering: str, resolution: str, pan: str) -> None:
        self.require_library("cameraCaptureAndSend")
        say("captures", quality, seconds, metering, resolution, pan)
        await asyncio.sleep(float(seconds))
        jpeg, size = self.glasses.options.jpeg, self.longest() - 1
        parts = [jpeg[at : at + size] for at in range(0, len(jpeg), size)]
        for part in parts:
            await self.send(DATA + part)
        await self.send(DATA_END + str(len(parts)).encode())
        say("photo", len(jpeg))

    async def record(self, rate: str, depth: str) -> None:
        self.require_library("microphoneRecordAndSend")
        self.listen(int(rate), int(depth))
        while True:
            await self.send_sound(AUDIO, self.longest() - 4)
            await asyncio.sleep(0.001)

    STATEMENTS = FrameLink.STATEMENTS + [
        (re.compile(pattern + r"(?:;|$)", re.DOTALL), action)
        for pattern, action in [
            (rf"frame\.imu\.tap_callback\(function\(\);?frame\.bluetooth\.send\({STRING}\);?end\)", on_tap),
            (r"cameraCaptureAndSend\('(\w+)',(\d+),'(\w+)',(\d+),(-?\d+)\)", capture),
            (r"microphoneRecordAndSend\((\d+),(\d+),nil\)", record),
        ]
    ]


class FrameSdk(FrameFirmware):
    LINK = SdkLink

    def services(self):
        services = super().services()
        self.files[f"{LIBRARY}.lua"] = "-- the vendor's"
        return services

    def touch(self) -> None:
        for link in self.links.values():
            link.spawn(link.send(link.tap_data))
