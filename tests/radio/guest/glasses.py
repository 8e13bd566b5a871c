#!/usr/bin/env python3
"""Glasses, played by Bumble: a stack that nobody here wrote.

    glasses.py TRANSPORT [--kind omi] [--address C0:11:22:33:44:55] [--photo FILE]
               [--security none|just-works|passkey|comparison]

Each kind is a file in `kinds`, made from what is published of it. Lines on standard output tell what happens:
`told HEX` for each answer that reaches OmiGlass, `displays HEX` for each text that others show. Signals play what
happens to them: USR1 drops the link; USR2 ends the sound of this link, and tells how many frames of sound there were;
HUP is a touch; TERM ends; STOP and CONT are a firmware that hangs.
"""

import argparse
import asyncio
import signal
from pathlib import Path

from bumble import hci
from bumble.device import Device, DeviceConfiguration
from bumble.pairing import PairingConfig, PairingDelegate
from bumble.transport import open_transport
from kinds.even import Even
from kinds.frame import Frame
from kinds.frame_sdk import FrameSdk
from kinds.mentra import Mentra
from kinds.omi import FLAWS, GUARDS, Omi
from kinds.open import Open
from peripheral import Options, say

KINDS = {"omi": Omi, "frame": Frame, "frame-sdk": FrameSdk, "even": Even, "mentra": Mentra, "open": Open}


class Wearer(PairingDelegate):
    """Whoever holds the glasses while they are paired."""

    def __init__(self, capability: int, passkey: int):
        super().__init__(io_capability=capability)
        self.passkey = passkey

    async def generate_passkey(self) -> int:
        return self.passkey

    async def display_number(self, number: int, digits: int) -> None:
        say("shows", f"{number:0{digits}}")

    async def compare_numbers(self, number: int, digits: int) -> bool:
        say("compares", f"{number:0{digits}}")
        return True

    async def confirm(self, auto: bool = False) -> bool:
        return True


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("transport")
    parser.add_argument("--kind", default="omi", choices=list(KINDS))
    parser.add_argument("--address", action="append", help="may be given for each of several pairs, or arms")
    parser.add_argument("--packets", type=float, help="audio packets a second (default: the firmware's)")
    parser.add_argument("--photo", type=Path, default=Path(__file__).parent / "photo.jpg")
    parser.add_argument("--security", default="none", choices=list(GUARDS))
    parser.add_argument("--firmware", choices=["older", "newer"], help="one that does not tell when its table changes")
    parser.add_argument("--flaw", choices=FLAWS, help="what OmiGlass does wrong")
    parser.add_argument("--passkey", type=int, default=123456)
    arguments = parser.parse_args()
    addresses = arguments.address or ["C0:11:22:33:44:55"]
    async with await open_transport(arguments.transport) as (source, sink):
        settings = DeviceConfiguration(name=arguments.kind, address=hci.Address(addresses[0]))
        device = Device.from_config_with_hci(settings, source, sink)
        capability = {
            "passkey": PairingDelegate.DISPLAY_OUTPUT_ONLY,
            "comparison": PairingDelegate.DISPLAY_OUTPUT_AND_YES_NO_INPUT,
        }.get(arguments.security, PairingDelegate.NO_OUTPUT_NO_INPUT)
        is_guarded = arguments.security in ("passkey", "comparison")
        device.pairing_config_factory = lambda _: PairingConfig(
            sc=True, mitm=is_guarded, bonding=True, delegate=Wearer(capability, arguments.passkey))
        options = Options(addresses, arguments.photo.read_bytes(), arguments.packets, arguments.security,
                          arguments.firmware, arguments.flaw)
        glasses = KINDS[arguments.kind](device, options)
        loop, ended = asyncio.get_running_loop(), asyncio.Event()
        loop.add_signal_handler(signal.SIGUSR1, glasses.drop)
        loop.add_signal_handler(signal.SIGUSR2, glasses.be_silent)
        loop.add_signal_handler(signal.SIGHUP, glasses.touch)
        loop.add_signal_handler(signal.SIGTERM, ended.set)
        await device.power_on()
        await glasses.advertise(ended)


asyncio.run(main())
