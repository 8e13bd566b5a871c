"""Omi audio as the vendor's own decoder (omi-sdk) hears it.

`omi_audio.py notifications` writes notifications of real Opus audio, one hex line each, as the firmware sends them:
Opus, restricted low delay, 32 kbit/s VBR, 16 kHz, 320 samples, one frame a notification.

`omi_audio.py compare` reads lines `<notification> <frame>` in hex. The vendor's decoder takes the notification, plain
libopus the frame that was found in it; both must give the same samples, and not silence. Prints how many agreed.
"""

import importlib.metadata
import importlib.util
import math
import random
import struct
import sys

import opuslib

RATE = 16_000
SAMPLES = 320
FRAMES = 200


def vendor_decoder():
    # The package's own __init__ imports its Bluetooth and transcription parts, which are not installed.
    path = importlib.metadata.distribution("omi-sdk").locate_file("omi/decoder.py")
    spec = importlib.util.spec_from_file_location("omi_decoder", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.OmiOpusDecoder()


def speech_like():
    """Frames of a gliding, breathing tone with noise, from a fixed seed."""
    noise = random.Random(7)
    phase = 0.0
    for frame in range(FRAMES):
        samples = []
        for n in range(SAMPLES):
            t = (frame * SAMPLES + n) / RATE
            phase += 2 * math.pi * (180 + 90 * math.sin(3 * t)) / RATE
            voice = math.sin(phase) + 0.5 * math.sin(2 * phase) + 0.25 * math.sin(3 * phase)
            loudness = 0.5 + 0.5 * math.sin(5 * t)
            samples.append(int(6000 * loudness * voice + noise.gauss(0, 150)))
        yield struct.pack(f"<{SAMPLES}h", *samples)


def notifications():
    encoder = opuslib.Encoder(RATE, 1, opuslib.APPLICATION_RESTRICTED_LOWDELAY)
    encoder.bitrate = 32_000
    encoder.vbr = 1
    # The id wraps in the middle.
    for number, pcm in enumerate(speech_like(), start=65_536 - FRAMES // 2):
        frame = encoder.encode(pcm, SAMPLES)
        assert len(frame) <= 160, len(frame)
        print(struct.pack("<HB", number % 65_536, 0).hex() + frame.hex())


def compare():
    vendor, plain = vendor_decoder(), opuslib.Decoder(RATE, 1)
    loudest = 0
    count = 0
    for line in sys.stdin:
        notification, frame = (bytes.fromhex(word) for word in line.split())
        expected = vendor.decode_packet(notification)
        actual = plain.decode(frame, 960)
        if len(expected) != 2 * SAMPLES or actual != expected:
            sys.exit(f"frame {count}: the vendor hears {len(expected)} bytes, our frame gives {len(actual)} or others")
        loudest = max(loudest, *struct.unpack(f"<{SAMPLES}h", actual))
        count += 1
    if loudest < 1000:
        sys.exit(f"silence: the loudest sample is {loudest}")
    print(count)


if __name__ == "__main__":
    {"notifications": notifications, "compare": compare}[sys.argv[1]]()
