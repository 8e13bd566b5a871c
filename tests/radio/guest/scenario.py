#!/usr/bin/env python3
"""Inside the virtual machine: one scenario, with the real daemon, a broker and glasses. Ends with 0 if all held."""

import http.client
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

OUT = Path("/out")
METRICS = 9464
CONFIG = """
[gateway]
name = "gateway"
state_dir = "/var/lib/glassd"
control_socket = "/run/glassd/control.sock"
[mqtt]
broker = "mqtt://127.0.0.1:1883"
[http]
listen = "127.0.0.1:9464"
"""
GLASSES = """
[[glasses]]
name = "{name}"
kind = "omi"
address = "{address}"
"""
FIRST = ("worn", "C0:11:22:33:44:55")
# Software emulation is ten times slower than what glasses are used with.
PATIENCE_S = 60


class Broken(Exception):
    """Something did not hold."""


def say(*words: object) -> None:
    print(f"[{time.monotonic():8.3f}]", *words, flush=True)


def until(what: str, holds, patience: float = PATIENCE_S) -> float:
    """Waits until something holds, and returns how long that took."""
    started = time.monotonic()
    while not holds():
        Program.all_alive()
        if time.monotonic() - started > patience:
            raise Broken(f"{what}: not within {patience:.0f} s")
        time.sleep(0.05)
    return time.monotonic() - started


class Program:
    """A child process with its log; one that ends by itself breaks the scenario."""

    running: list["Program"] = []

    def __init__(self, name: str, *command: str):
        self.log = OUT / f"{name}.log"
        Program.running.append(self)
        with self.log.open("ab") as file:
            self.child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=file, stderr=file)

    def text(self) -> str:
        return self.log.read_text(errors="replace")

    def send(self, number: int) -> None:
        self.child.send_signal(number)

    def kill(self) -> None:
        Program.running.remove(self)
        self.child.kill()
        self.child.wait()

    @staticmethod
    def all_alive() -> None:
        for program in Program.running:
            if program.child.poll() is not None:
                raise Broken(f"{program.log.stem} ended with {program.child.returncode}")


class Glasses(Program):
    def __init__(self, name: str = "glasses", transport: str = "hci-socket:1", *options: str):
        super().__init__(name, "python3", "/share/glasses.py", transport, *options)
        until("the glasses advertise", lambda: "advertises" in self.text())

    def told(self) -> list[str]:
        """Answers that reached them: version, kind and query are 10 bytes."""
        lines = [line.split() for line in self.text().splitlines()]
        return [bytes.fromhex(words[2])[10:].decode() for words in lines if words[1:2] == ["told"]]


class Gateway(Program):
    def __init__(self, *glasses: tuple[str, str]):
        config = CONFIG + "".join(GLASSES.format(name=name, address=address) for name, address in glasses)
        Path("/etc/glassd.toml").write_text(config)
        super().__init__("glassd", "/share/glassd", "run", "--config", "/etc/glassd.toml")

    def metrics(self) -> dict[str, float]:
        """Sums over labels, by name."""
        connection = http.client.HTTPConnection("127.0.0.1", METRICS, timeout=10)
        try:
            connection.request("GET", "/metrics")
            lines = connection.getresponse().read().decode().splitlines()
        except OSError:
            return {}
        sums: dict[str, float] = {}
        for line in lines:
            if not line.startswith("#") and line:
                name, value = line.rsplit(" ", 1)
                name = name.split("{")[0].removeprefix("glassd_").removesuffix("_total")
                sums[name] = sums.get(name, 0.0) + float(value)
        return sums

    def count(self, name: str) -> float:
        return self.metrics().get(name, 0.0)

    def more_frames(self, what: str, patience: float = PATIENCE_S) -> float:
        """Waits for a frame that is not there yet."""
        before = self.count("frames")
        return until(what, lambda: self.count("frames") > before, patience)

    def ask(self, question: str) -> str:
        command = ["/share/glassd", "ask", "--config", "/etc/glassd.toml", question]
        asked = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        if asked.returncode != 0:
            raise Broken(f"glassd ask: {asked.stderr.strip()}")
        return asked.stdout.strip()


class Bluetoothd:
    @staticmethod
    def kill(number: int) -> None:
        os.kill(int(Path("/run/bluetoothd.pid").read_text()), number)

    @staticmethod
    def start() -> None:
        subprocess.run(["/share/guest/bluetoothd"], check=True)

    @staticmethod
    def power(is_on: bool) -> None:
        command = ["dbus-send", "--system", "--print-reply", "--dest=org.bluez", "/org/bluez/hci0"]
        command += ["org.freedesktop.DBus.Properties.Set", "string:org.bluez.Adapter1", "string:Powered"]
        subprocess.run([*command, f"variant:boolean:{str(is_on).lower()}"], check=True, stdout=subprocess.DEVNULL)


def linked() -> tuple[Glasses, Gateway]:
    """A broker, glasses and a gateway, with frames flowing."""
    Program("mosquitto", "mosquitto", "-p", "1883")
    glasses, gateway = Glasses(), Gateway(FIRST)
    started = time.monotonic()
    until("the first frame", lambda: gateway.count("frames") > 0, 2 * PATIENCE_S)
    say(f"figure: first frame after {time.monotonic() - started:.1f} s")
    return glasses, gateway


def stream() -> None:
    glasses, gateway = linked()
    before, seconds = gateway.metrics(), 60
    time.sleep(seconds)
    after = gateway.metrics()
    packets, lost, frames, notes = (
        after.get(name, 0) - before.get(name, 0) for name in ("audio_frames", "audio_lost", "frames", "link_bytes")
    )
    say(f"figure: {packets / seconds:.1f} audio packets a second, {lost:.0f} lost; {frames:.0f} frames in {seconds} s")
    say(f"figure: {notes / seconds / 1000:.1f} KB/s over the air")
    if lost or packets < 0.9 * 50 * seconds:
        raise Broken(f"{packets:.0f} audio packets in {seconds} s, {lost:.0f} lost")
    if frames < 2:
        raise Broken(f"{frames:.0f} frames in {seconds} s")
    answer = gateway.ask("What is the battery level?")
    say("asked:", answer)
    until("the answer reaches the glasses", lambda: any("87" in text for text in glasses.told()))
    say("figure: told to the glasses:", glasses.told()[-1])


def healed(what: str, gateway: Gateway, cause, end, repeats: int = 3) -> None:
    """Frames flow again each time that something happened, and how long that took from its end on."""
    took = []
    for _ in range(repeats):
        cause()
        end()
        took.append(gateway.more_frames(f"frames after {what}", 2 * PATIENCE_S))
        say(f"{what}: frames flow again after {took[-1]:.1f} s")
        time.sleep(2)
    took.sort()
    say(f"figure: after {what}: {took[0]:.1f} to {took[-1]:.1f} s, {len(took)} times")


def reconnect() -> None:
    glasses, gateway = linked()

    def drop() -> None:
        lost = glasses.text().count("disconnected")
        glasses.send(signal.SIGUSR1)
        until("the link drops", lambda: glasses.text().count("disconnected") > lost)

    healed("the glasses drop the link", gateway, drop, lambda: None, 5)


def firmware_hang() -> None:
    glasses, gateway = linked()

    def hang() -> None:
        glasses.send(signal.SIGSTOP)
        time.sleep(20)

    healed("the firmware hangs for 20 s", gateway, hang, lambda: glasses.send(signal.SIGCONT), 2)


def adapter_off() -> None:
    _, gateway = linked()

    def off() -> None:
        Bluetoothd.power(False)
        time.sleep(3)

    healed("the adapter is off", gateway, off, lambda: Bluetoothd.power(True))


def bluetoothd_killed() -> None:
    _, gateway = linked()
    for name, number in [("SIGTERM", signal.SIGTERM), ("SIGKILL", signal.SIGKILL)]:

        def kill(number: int = number) -> None:
            Bluetoothd.kill(number)
            time.sleep(2)

        healed(f"bluetoothd got {name}", gateway, kill, Bluetoothd.start, 2)


SCENARIOS = {
    "stream": stream,
    "reconnect": reconnect,
    "firmware-hang": firmware_hang,
    "adapter-off": adapter_off,
    "bluetoothd-killed": bluetoothd_killed,
}


def main() -> int:
    scenario = SCENARIOS.get(sys.argv[1])
    if scenario is None:
        say(f"{sys.argv[1]}: not there yet")
        return 2
    try:
        scenario()
    except Broken as reason:
        say(f"FAILED: {reason}")
        for name in ("glassd", "glasses"):
            log = OUT / f"{name}.log"
            if log.exists():
                print(f"--- {name}\n{log.read_text(errors='replace')[-3000:]}", flush=True)
        return 1
    say("all held")
    return 0


sys.exit(main())
