"""What a scenario has at hand: the real daemon, glasses, bluetoothd; and its patience."""

import http.client
import json
import os
import signal
import subprocess
import time
from dataclasses import asdict, dataclass
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
kind = "{kind}"
address = "{address}"
pairing = "{pairing}"
microphone = {microphone}
"""
# Somebody else's script plays the glasses: nothing is known of its address, its photo and its battery.
FOREIGN = Path("/share/glasses.py")
IS_FOREIGN = FOREIGN.exists()
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

    all: list["Program"] = []
    running: list["Program"] = []

    def __init__(self, name: str, *command: str):
        count = sum(program.name == name for program in Program.all)
        self.name = name
        self.log = OUT / (f"{name}-{count}.log" if count else f"{name}.log")
        Program.all.append(self)
        Program.running.append(self)
        with self.log.open("ab") as file:
            self.child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=file, stderr=file)

    def text(self) -> str:
        return self.log.read_text(errors="replace")

    def send(self, number: int) -> None:
        self.child.send_signal(number)

    def end(self, number: int = signal.SIGTERM) -> None:
        Program.running.remove(self)
        self.send(number)
        self.child.wait(PATIENCE_S)

    @staticmethod
    def all_alive() -> None:
        for program in Program.running:
            if program.child.poll() is not None:
                raise Broken(f"{program.log.stem} ended with {program.child.returncode}")


@dataclass
class Worn:
    """A pair of glasses in the configuration."""

    name: str = "worn"
    address: str = "" if IS_FOREIGN else "C0:11:22:33:44:55"
    kind: str = "omi"
    pairing: str = "automatic"
    microphone: str = "false"


class Glasses(Program):
    """Glasses on the second controller. btvirt mixes links up that are to more than one controller."""

    def __init__(self, *options: str):
        script = FOREIGN if IS_FOREIGN else Path("/share/guest/glasses.py")
        super().__init__("glasses", "python3", str(script), "hci-socket:1", *options)
        if IS_FOREIGN:
            time.sleep(10)
            Program.all_alive()
        else:
            until("the glasses advertise", lambda: "advertises" in self.text())

    def count(self, word: str) -> int:
        """How often something happened."""
        return sum(line.split()[1:2] == [word] for line in self.text().splitlines())

    def drop(self) -> None:
        lost = self.count("disconnected")
        self.send(signal.SIGUSR1)
        until("the link drops", lambda: self.count("disconnected") > lost)

    def said(self, word: str) -> list[str]:
        """What they said with this word, each time."""
        lines = [line.split(maxsplit=2) for line in self.text().splitlines()]
        return [words[2] if len(words) > 2 else "" for words in lines if words[1:2] == [word]]

    def told(self) -> list[str]:
        """Answers that reached them: version, kind and query are 10 bytes."""
        return [bytes.fromhex(value)[10:].decode() for value in self.said("told")]

    def displayed(self) -> str:
        """All that was on their display, page after page, without line breaks."""
        pages = [bytes.fromhex(value).decode() for value in self.said("displays")]
        return " ".join(word for page in pages for word in page.split())

    def sound(self) -> int:
        """Ends the sound of this link; returns how many frames of it they sent."""
        silences = self.count("silent")
        self.send(signal.SIGUSR2)
        until("the glasses fall silent", lambda: self.count("silent") > silences)
        return int(self.said("silent")[-1])


class Gateway(Program):
    def __init__(self, *glasses: Worn):
        Path("/etc/glassd.toml").write_text(CONFIG + "".join(GLASSES.format(**asdict(worn)) for worn in glasses))
        super().__init__("glassd", "/share/glassd", "run", "--config", "/etc/glassd.toml")
        until("the gateway is up", lambda: "glassd is up" in self.text())

    def samples(self) -> list[tuple[str, float]]:
        """Metrics with their labels, and their values."""
        connection = http.client.HTTPConnection("127.0.0.1", METRICS, timeout=10)
        try:
            connection.request("GET", "/metrics")
            lines = connection.getresponse().read().decode().splitlines()
        except OSError:
            return []
        samples = (line.rsplit(" ", 1) for line in lines if line and not line.startswith("#"))
        return [(name, float(value)) for name, value in samples]

    def metrics(self) -> dict[str, float]:
        """Sums over labels, by name."""
        sums: dict[str, float] = {}
        for name, value in self.samples():
            name = name.split("{")[0].removeprefix("glassd_").removesuffix("_total")
            sums[name] = sums.get(name, 0.0) + value
        return sums

    def dropped(self) -> dict[str, int]:
        """What the decoders of links dropped, by reason."""
        samples = [(name.split('reason="'), value) for name, value in self.samples() if "link_dropped_total{" in name]
        return {parts[1].split('"')[0]: int(value) for parts, value in samples if value}

    def count(self, name: str) -> float:
        return self.metrics().get(name, 0.0)

    def more_frames(self, what: str, patience: float = PATIENCE_S) -> float:
        """Waits for a frame that is not there yet."""
        before = self.count("frames")
        return until(what, lambda: self.count("frames") > before, patience)

    def recording(self, file: str, seconds: int) -> subprocess.Popen:
        """Begins to record what comes over the air."""
        command = ["/share/glassd", "--config", "/etc/glassd.toml", "record"]
        command += ["--output", file, "--seconds", str(seconds)]
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)

    def glassd(self, *words: str, typed: str = "", fails: bool = False) -> str:
        """Runs a command of glassd's and returns what it prints."""
        command = ["/share/glassd", "--config", "/etc/glassd.toml", *words]
        try:
            ended = subprocess.run(command, input=typed, capture_output=True, text=True, timeout=150, check=False)
        except subprocess.TimeoutExpired:
            raise Broken(f"glassd {words[0]} did not end") from None
        if (ended.returncode != 0) != fails:
            raise Broken(f"glassd {words[0]} ended with {ended.returncode}: {ended.stdout}{ended.stderr}")
        return ended.stdout.strip() or ended.stderr.strip()

    def status(self, name: str = "worn") -> dict:
        return json.loads(self.glassd("status", "--json"))["glasses"].get(name, {})

    def link(self, name: str = "worn") -> dict:
        return self.status(name).get("link") or {}


class Bluetoothd:
    @staticmethod
    def kill(number: int) -> None:
        os.kill(int(Path("/run/bluetoothd.pid").read_text()), number)

    @staticmethod
    def start(cache: str = "no") -> None:
        subprocess.run(["/share/guest/bluetoothd"], check=True, env={**os.environ, "GATT_CACHE": cache})

    @staticmethod
    def power(is_on: bool) -> None:
        command = ["dbus-send", "--system", "--print-reply", "--dest=org.bluez", "/org/bluez/hci0"]
        command += ["org.freedesktop.DBus.Properties.Set", "string:org.bluez.Adapter1", "string:Powered"]
        subprocess.run([*command, f"variant:boolean:{str(is_on).lower()}"], check=True, stdout=subprocess.DEVNULL)

    @staticmethod
    def has_power() -> bool:
        command = ["dbus-send", "--system", "--print-reply", "--dest=org.bluez", "/org/bluez/hci0"]
        command += ["org.freedesktop.DBus.Properties.Get", "string:org.bluez.Adapter1", "string:Powered"]
        return "true" in subprocess.run(command, check=True, capture_output=True, text=True).stdout
