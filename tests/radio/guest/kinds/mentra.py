"""Glasses of MentraOS, after `mcu_client/firmware_spec.md` v1.1: JSON, sound, and images whose missing chunks are asked
for.

The document has images towards the glasses only, and no command for a photo: here the glasses send one every few
seconds, in the same frames, and lose a chunk of each."""

import asyncio
import json

from peripheral import Characteristic, Glasses, Link, Permissions, Properties, Service, say

JSON, SOUND, CHUNK = b"\x01", b"\xa0\x00", 0xB0
BATTERY = 87
# Frames of LC3 in a packet, each of 10 ms, and their bytes (`pdm_audio_stream.c`).
FRAMES, FRAME_BYTES = 5, 40
PHOTO_EVERY_S, ANSWER_S = 3, 10
LOST = 7


def sig(number: int) -> str:
    return f"0000{number:04X}-0000-1000-8000-00805F9B34FB"


class MentraLink(Link):
    listens, stream = False, 0x002A

    def __init__(self, glasses: "Mentra", connection):
        super().__init__(glasses, connection)
        self.reports: asyncio.Queue = asyncio.Queue()
        self.spawn(self.speak(glasses.to_phone, self.sound, 1000 / (10 * FRAMES), FRAMES))

    def is_heard(self, characteristic: Characteristic) -> bool:
        return self.listens and super().is_heard(characteristic)

    def sound(self, number: int) -> bytes:
        return SOUND + number.to_bytes(4, "little") * (FRAMES * FRAME_BYTES // 4)

    async def tell(self, kind: str, **fields: object) -> None:
        await self.notify(self.glasses.to_phone, JSON + json.dumps({"type": kind, **fields}).encode())

    def written(self, value: bytes) -> None:
        if value[:1] != JSON:
            return say("problem", "no JSON", value.hex())
        message = json.loads(value[1:])
        kind = message["type"]
        if kind == "request_glasses_info":
            features = {"camera": True, "display": True, "audio_tx": True, "audio_rx": False, "imu": True}
            self.spawn(self.tell("device_info", fw="1.2.3", hw="MentraLive", features=features))
            self.spawn(self.shoot())
        elif kind == "request_battery_state":
            self.spawn(self.tell("battery_status", level=BATTERY, charging=False))
        elif kind == "ping":
            self.spawn(self.tell("pong"))
        elif kind == "set_mic_state":
            say("listens", message["enabled"])
            self.listens = message["enabled"]
        elif kind == "display_text":
            say("displays", message["text"].encode().hex())
        elif kind == "image_transfer_complete":
            self.reports.put_nowait(message)
        else:
            say("problem", "unknown", kind)

    async def shoot(self) -> None:
        while True:
            jpeg, size = self.glasses.options.jpeg, self.room() - 4
            chunks = [jpeg[at : at + size] for at in range(0, len(jpeg), size)]
            self.stream = (self.stream + 1) & 0xFFFF
            await self.tell("display_image", msg_id="img_start_1", stream_id=f"{self.stream:04X}", x=0, y=0, width=640,
                            height=480, encoding="jpeg", total_chunks=len(chunks))
            await self.send(chunks, [index for index in range(len(chunks)) if index != LOST])
            while (report := await asyncio.wait_for(self.report(), ANSWER_S))["status"] != "ok":
                say("again", *report["missing_chunks"])
                await self.send(chunks, report["missing_chunks"])
            say("photo", len(jpeg))
            await asyncio.sleep(PHOTO_EVERY_S)

    async def report(self) -> dict:
        """What the phone says of this image. It asks again while what it asked for is on its way: the newest counts."""
        while True:
            reports = [await self.reports.get(), *(self.reports.get_nowait() for _ in range(self.reports.qsize()))]
            for report in reversed(reports):
                if int(report["stream_id"], 16) == self.stream:
                    return report

    async def send(self, chunks: list[bytes], wanted: list[int]) -> None:
        header = bytes([CHUNK]) + self.stream.to_bytes(2, "big")
        await self.notify_all(self.glasses.to_phone, [header + bytes([index]) + chunks[index] for index in wanted])


class Mentra(Glasses):
    LINK, SERVICE, MTU = MentraLink, sig(0x4860), 247

    def name(self, address) -> str:
        return "Mentra Live"

    def services(self) -> list[Service]:
        self.to_phone = Characteristic(sig(0x70FF), Properties.NOTIFY, Permissions.READABLE, b"")
        from_phone = Characteristic(sig(0x71FF), Properties.WRITE | Properties.WRITE_WITHOUT_RESPONSE,
                                    Permissions.WRITEABLE, self.written(MentraLink.written))
        return [Service(sig(0x4860), [from_phone, self.to_phone])]

    def touch(self) -> None:
        for link in self.links.values():
            for state in ("down", "up"):
                link.spawn(link.tell("button_event", button="center", state=state))
