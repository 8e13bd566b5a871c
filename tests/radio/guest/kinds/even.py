"""Even Realities' G1: two arms, a display, and a microphone in the right one; as the vendor's app speaks with them
(`EvenDemoApp`). Texts go to the left arm first, then to the right."""

import time

from peripheral import Characteristic, Glasses, Link, Permissions, Properties, Service, say

MICROPHONE, HEARTBEAT, TEXT, SOUND, EVENT = 0x0E, 0x25, 0x4E, 0xF1, 0xF5
DONE, FAILED = 0xC9, 0xCA
SINGLE_TAP = 1
# Each packet of sound has so many frames, of 10 ms and so many bytes.
FRAMES, FRAME_BYTES = 10, 20
# The microphone turns itself off after so long.
LONGEST_S = 30


def uart(number: int) -> str:
    return f"6E40000{number}-B5A3-F393-E0A9-E50E24DCCA9E"


class Arm(Link):
    def __init__(self, glasses: "Even", connection):
        super().__init__(glasses, connection)
        self.is_right = self.address == glasses.addresses[-1]
        self.packets: list[bytes] = []
        self.page, self.listens_until = None, 0.0
        if self.is_right:
            self.spawn(self.speak(glasses.to_app, self.sound, 1000 / (10 * FRAMES), FRAMES))

    def is_heard(self, characteristic: Characteristic) -> bool:
        return time.monotonic() < self.listens_until and super().is_heard(characteristic)

    def sound(self, number: int) -> bytes:
        frames = [bytes([number & 0xFF, frame]) * (FRAME_BYTES // 2) for frame in range(FRAMES)]
        return bytes([SOUND, number & 0xFF]) + b"".join(frames)

    def answer(self, *value: int) -> None:
        self.spawn(self.notify(self.glasses.to_app, bytes(value)))

    def written(self, value: bytes) -> None:
        if value[0] == MICROPHONE:
            if not self.is_right:
                return self.answer(MICROPHONE, FAILED, value[1])
            say("listens", value[1])
            self.listens_until = time.monotonic() + LONGEST_S if value[1] else 0.0
            self.answer(MICROPHONE, DONE, value[1])
        elif value[0] == HEARTBEAT:
            say("heartbeat", "right" if self.is_right else "left")
            self.answer(*value)
        elif value[0] == TEXT:
            self.answer(TEXT, DONE if self.is_taken(value) else FAILED)

    def is_taken(self, value: bytes) -> bool:
        """Takes a packet of a page: in their order, and a page on the right arm once the left one has it."""
        _, sequence, total, current, screen, high, low, page, pages, *_ = value
        if current == 0:
            self.packets = []
        if current != len(self.packets) or screen & 0x0F != 1 or not 1 <= page <= pages:
            return False
        self.packets.append(value[9:])
        if len(self.packets) < total:
            return True
        self.page = (sequence, page, b"".join(self.packets))
        if not self.is_right:
            return True
        left = self.glasses.first()
        if left is None or left.page != self.page:
            return False
        say("displays", self.page[2].hex())
        return True


class Even(Glasses):
    LINK, MTU = Arm, 251

    def name(self, address) -> str:
        arm = "R" if address == self.addresses[-1] else "L"
        return f"Even G1_42_{arm}_1A2B3C"

    def services(self) -> list[Service]:
        self.to_app = Characteristic(uart(3), Properties.NOTIFY, Permissions.READABLE, b"")
        from_app = Characteristic(uart(2), Properties.WRITE | Properties.WRITE_WITHOUT_RESPONSE, Permissions.WRITEABLE,
                                  self.written(Arm.written))
        return [Service(uart(1), [from_app, self.to_app])]

    def touch(self) -> None:
        if left := self.first():
            left.answer(EVENT, SINGLE_TAP)
