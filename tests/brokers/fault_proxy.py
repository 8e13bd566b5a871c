"""A proxy between MQTT clients and a broker that does what networks do: it cuts, delays, goes deaf, and reorders.

It knows where a packet ends, so that only whole packets change places: TCP itself never reorders, but a bridge or a cluster
behind the broker may. `mode` may be set at any time.

| mode | what it does |
|---|---|
| `calm` | nothing |
| `delay` | holds every packet for 0 to 400 ms, in order |
| `cut` | ends every connection after 0.2 to 3 s, in the midst of a packet where it can |
| `half-open` | takes everything and passes nothing on, and says nothing of it |
| `reorder` | holds each publish for 0 to 300 ms by itself: later packets overtake it |
| `forget` | acknowledges every query in the broker's place, and forgets every other one |
"""

import asyncio
import random

MODES = ["calm", "delay", "cut", "half-open", "reorder", "forget"]


async def read_packet(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readexactly(1)
    length = shift = 0
    while True:
        byte = await reader.readexactly(1)
        head += byte
        length |= (byte[0] & 0x7F) << shift
        shift += 7
        if not byte[0] & 0x80:
            return head + await reader.readexactly(length)


class Publish:
    """What a PUBLISH says of itself; its place in the packet is the same in every version."""

    def __init__(self, packet: bytes):
        start = 1
        while packet[start] & 0x80:
            start += 1
        start += 1
        length = int.from_bytes(packet[start : start + 2])
        self.topic = packet[start + 2 : start + 2 + length].decode(errors="replace")
        self.qos = packet[0] >> 1 & 3
        self.identifier = packet[start + 2 + length : start + 4 + length]


class FaultProxy:
    def __init__(self, broker_port: int, seed: int):
        self.broker_port, self.random, self.mode = broker_port, random.Random(seed), "calm"
        self.faults = {mode: 0 for mode in MODES}
        self.connections: set[asyncio.Task] = set()
        self.forgets = False

    async def start(self) -> int:
        self.server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        return self.server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        self.server.close()
        for task in list(self.connections):
            task.cancel()
        await asyncio.gather(*self.connections, return_exceptions=True)

    async def _accept(self, reader, writer) -> None:
        task = asyncio.current_task()
        self.connections.add(task)
        try:
            await self._connection(reader, writer)
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            self.connections.discard(task)
            writer.transport.abort()

    async def _connection(self, reader, writer) -> None:
        up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self.broker_port)
        pumps = [
            asyncio.create_task(self._pump(reader, up_writer, writer)),
            asyncio.create_task(self._pump(up_reader, writer, None)),
            asyncio.create_task(self._cut([writer, up_writer])),
        ]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
            up_writer.transport.abort()

    async def _cut(self, writers) -> None:
        while True:
            if self.mode == "cut":
                await asyncio.sleep(self.random.uniform(0.2, 3))
                if self.mode == "cut":
                    self.faults["cut"] += 1
                    for writer in writers:
                        writer.transport.abort()
                    return
            await asyncio.sleep(0.1)

    async def _pump(self, reader, writer, back) -> None:
        """Passes packets on; `back` leads to the client, where this one comes from it."""
        late: set[asyncio.Task] = set()
        try:
            while True:
                packet = await read_packet(reader)
                kind = packet[0] >> 4
                if self.mode == "half-open":
                    self.faults["half-open"] += 1
                    continue
                if self.mode == "delay":
                    self.faults["delay"] += 1
                    await asyncio.sleep(self.random.uniform(0, 0.4))
                if self.mode == "cut" and self.random.random() < 0.1:
                    writer.write(packet[: len(packet) // 2])
                    await writer.drain()
                    return
                if self.mode == "forget" and back and kind == 3 and self._forgets(packet, back):
                    continue
                if self.mode == "reorder" and kind == 3:
                    self.faults["reorder"] += 1
                    task = asyncio.create_task(self._later(packet, writer))
                    late.add(task)
                    task.add_done_callback(late.discard)
                    continue
                writer.write(packet)
                await writer.drain()
        finally:
            for task in late:
                task.cancel()

    def _forgets(self, packet: bytes, back) -> bool:
        publish = Publish(packet)
        if publish.qos != 1 or not publish.topic.endswith("/query"):
            return False
        self.forgets = not self.forgets
        if self.forgets:
            self.faults["forget"] += 1
            back.write(b"\x40\x02" + publish.identifier)
        return self.forgets

    async def _later(self, packet: bytes, writer) -> None:
        await asyncio.sleep(self.random.uniform(0, 0.3))
        writer.write(packet)
