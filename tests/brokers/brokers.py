"""Brokers of Debian, each on free ports of 127.0.0.1 with a folder of its own; stopped with the process that started them."""

import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

# Where Debian puts what only root starts.
SEARCH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/lib/rabbitmq/bin"])
# What each needs, and the package that has it.
NEEDED = {
    "mosquitto": {"mosquitto": "mosquitto"},
    "rabbitmq": {"rabbitmq-server": "rabbitmq-server", "epmd": "erlang-base"},
    "nats": {"nats-server": "nats-server"},
}
START_S = {"mosquitto": 10, "rabbitmq": 90, "nats": 20}


def missing(kind: str) -> list[str]:
    """Returns the packages that are not installed."""
    return [package for program, package in NEEDED[kind].items() if not shutil.which(program, path=SEARCH)]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Broker:
    """A running broker; `port` is where it speaks MQTT."""

    def __init__(self, kind: str, folder: Path):
        self.kind, self.folder, self.port = kind, folder, free_port()
        self.others = [free_port(), free_port(), free_port()]
        self.process: subprocess.Popen | None = None
        folder.mkdir(parents=True, exist_ok=True)
        self.command, self.environment = getattr(self, f"_{kind}")()

    def start(self) -> None:
        log = open(self.folder / "log", "ab")
        self.process = subprocess.Popen(
            self.command, env=os.environ | self.environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            cwd=self.folder, start_new_session=True,
        )
        until = time.monotonic() + START_S[self.kind]
        while not self._answers():
            if self.process.poll() is not None or time.monotonic() > until:
                text = (self.folder / "log").read_text(errors="replace")
                raise SystemExit(f"{self.kind} does not start:\n{text[-2000:]}")
            time.sleep(0.2)

    def kill(self) -> None:
        """kill -9."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def stop(self) -> None:
        if self.process and self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGTERM)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.kill()
        if self.kind == "rabbitmq":
            # The port mapper goes on without its node, and is ours: it listens on a port of our own.
            epmd = shutil.which("epmd", path=SEARCH)
            subprocess.run([epmd, "-port", str(self.others[2]), "-kill"], capture_output=True, check=False)

    def _answers(self) -> bool:
        """Tells whether it takes a connection of MQTT 3.1.1, which all of them know."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=2) as probe:
                probe.settimeout(2)
                probe.sendall(b"\x10\x11\x00\x04MQTT\x04\x02\x00\x0f\x00\x05probe")
                return probe.recv(4) == b"\x20\x02\x00\x00"
        except OSError:
            return False

    def _mosquitto(self):
        config = self.folder / "mosquitto.conf"
        config.write_text(f"listener {self.port} 127.0.0.1\nallow_anonymous true\nlog_dest stderr\n")
        return [shutil.which("mosquitto", path=SEARCH), "-c", config], {}

    def _nats(self):
        config = self.folder / "nats.conf"
        # MQTT is kept in JetStream; the largest message is 1 MiB and what NATS adds to it.
        config.write_text(
            f"listen: 127.0.0.1:{self.others[0]}\nserver_name: test\nmax_payload: 2MB\n"
            f'jetstream {{ store_dir: "{self.folder}/jetstream" }}\nmqtt {{ listen: "127.0.0.1:{self.port}" }}\n'
        )
        return [shutil.which("nats-server", path=SEARCH), "-c", config], {}

    def _rabbitmq(self):
        amqp, distribution, mapper = self.others
        config = self.folder / "rabbitmq.conf"
        config.write_text(
            f"listeners.tcp.1 = 127.0.0.1:{amqp}\nmqtt.listeners.tcp.1 = 127.0.0.1:{self.port}\n"
            "mqtt.allow_anonymous = true\nlog.console = true\nlog.console.level = warning\nlog.file = false\n"
        )
        (self.folder / "plugins").write_text("[rabbitmq_mqtt].\n")
        environment = {
            "HOME": str(self.folder),
            "RABBITMQ_NODENAME": f"glassd{self.port}@localhost",
            "RABBITMQ_CONFIG_FILE": str(config),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.folder / "plugins"),
            "RABBITMQ_MNESIA_BASE": str(self.folder / "mnesia"),
            "RABBITMQ_LOG_BASE": str(self.folder),
            "RABBITMQ_PID_FILE": str(self.folder / "pid"),
            "RABBITMQ_DIST_PORT": str(distribution),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
            "ERL_EPMD_PORT": str(mapper),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
        }
        return [shutil.which("rabbitmq-server", path="/usr/lib/rabbitmq/bin")], environment
