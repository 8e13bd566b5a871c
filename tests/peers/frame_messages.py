"""Notifications of a Frame as `frame-msg` reads them, and messages as it packs them.

`frame_messages.py decode` reads notifications, one hex line each, gives them to `FrameBle._notification_handler`, and
writes what its receivers say: `photo <hex>`, `audio <hex>`, `imu <x> <y> <z>`, `tap <count>`.

`frame_messages.py pack` reads a JSON list of `["capture", resolution, quality]` and `["text", text]`, and writes what
`FrameBle.send_message` writes, one hex line each.
"""

import asyncio
import json
import sys

from frame_msg import FrameMsg, RxAudio, RxIMU, RxPhoto, RxTap, TxCaptureSettings, TxPlainText

TAP = bytes([1, 9])
TEXT_CODE, CAPTURE_CODE = 0x0A, 0x0D


def silent():
    # The handlers that it begins with take no argument, and are given one.
    frame = FrameMsg()
    frame.ble._user_data_response_handler = frame.ble._user_print_response_handler = None
    return frame


async def decode():
    frame = silent()
    frame.ble._user_data_response_handler = frame._handle_data_response
    photos = await RxPhoto(upright=False).attach(frame)
    audio = await RxAudio(streaming=True).attach(frame)
    imu = await RxIMU().attach(frame)
    taps = await RxTap().attach(frame)
    for line in sys.stdin:
        notification = bytes.fromhex(line)
        if notification == TAP:
            # It takes what comes within 40 ms as an echo.
            await asyncio.sleep(0.06)
        await frame.ble._notification_handler(None, notification)
        await asyncio.sleep(0)  # the receivers finish in tasks of their own
    await asyncio.sleep(0.5)
    while not photos.empty():
        print("photo", photos.get_nowait().hex())
    while not audio.empty():
        samples = audio.get_nowait()
        if samples is not None:
            print("audio", samples.hex())
    while not imu.empty():
        print("imu", *imu.get_nowait().accel)
    while not taps.empty():
        print("tap", taps.get_nowait())


class Client:
    """A link whose writes are acknowledged by the app."""

    # We write 243 bytes at most, it writes three less than the MTU.
    mtu_size = 246

    def __init__(self, ble):
        self.ble = ble

    async def write_gatt_char(self, _characteristic, data, response):
        print(bytes(data).hex())
        await self.ble._notification_handler(None, b"\x01\x00")


async def pack():
    frame = silent()
    frame.ble._client = Client(frame.ble)
    for name, *what in json.load(sys.stdin):
        if name == "capture":
            await frame.send_message(CAPTURE_CODE, TxCaptureSettings(resolution=what[0], quality_index=what[1]).pack())
        else:
            await frame.send_message(TEXT_CODE, TxPlainText(what[0]).pack())


asyncio.run({"decode": decode, "pack": pack}[sys.argv[1]]())
