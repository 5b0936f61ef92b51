"""The fault proxy does what it is told, and nothing else."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable

import pytest

from tests.chaos.proxy import BLACK_HOLE, DOWN, UP, FaultProxy, Faults
from tests.conftest import TIMEOUT_SCALE

LIMIT_S = 10 * TIMEOUT_SCALE
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Echo:
    """A server that sends back what it gets, and notes in which pieces it came and how it ended."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.ends: list[str] = []
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while piece := await reader.read(65_536):
                self.pieces.append(piece)
                writer.write(piece)
                await writer.drain()
            self.ends.append("end")
            writer.write(b"bye")
            writer.close()
        except ConnectionError:
            self.ends.append("reset")
            writer.close()


@pytest.fixture
async def echo() -> AsyncIterator[Echo]:
    """A running echo server."""
    echo = Echo()
    server = await asyncio.start_server(echo.serve, "127.0.0.1", 0)
    echo.port = server.sockets[0].getsockname()[1]
    yield echo
    server.close()


@pytest.fixture
async def proxy(echo: Echo) -> AsyncIterator[FaultProxy]:
    """A proxy before it."""
    async with FaultProxy(echo.port, random.Random(1)) as proxy:
        yield proxy


@pytest.fixture
async def client(proxy: FaultProxy) -> AsyncIterator[Streams]:
    """A connection through the proxy."""
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    await until(lambda: bool(proxy.links))
    yield reader, writer
    writer.close()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(LIMIT_S):
        while not condition():  # noqa: ASYNC110  # what is waited for has no event
            await asyncio.sleep(0.005)


async def round_trip(client: Streams, sent: bytes) -> bytes:
    client[1].write(sent)
    return await asyncio.wait_for(client[0].readexactly(len(sent)), LIMIT_S)


async def nothing_for(client: Streams, seconds: float) -> bool:
    try:
        return not await asyncio.wait_for(client[0].read(1), seconds)
    except TimeoutError:
        return True


@pytest.mark.parametrize(
    "faults",
    [
        Faults(),
        Faults(slice_bytes=3),
        Faults(latency_s=0.01, jitter_s=0.03),
        Faults(bytes_per_s=100_000),
        Faults(slice_bytes=50, jitter_s=0.01, bytes_per_s=200_000),
    ],
)
async def test_what_passes_is_what_was_sent(proxy: FaultProxy, client: Streams, faults: Faults) -> None:
    """Whatever is wrong: no byte lost, none doubled, none out of order."""
    proxy.faults = faults
    sent = random.Random(2).randbytes(20_000)
    assert await round_trip(client, sent) == sent


async def test_slices_cut_anywhere(proxy: FaultProxy, client: Streams, echo: Echo) -> None:
    """The other end sees a frame in pieces."""
    proxy.faults = Faults(slice_bytes=2)
    await round_trip(client, b"x" * 150)
    assert len(echo.pieces) > 5


async def test_latency_delays_each_direction(proxy: FaultProxy, client: Streams) -> None:
    """There and back."""
    proxy.faults = Faults(latency_s=0.05)
    loop = asyncio.get_running_loop()
    began = loop.time()
    await round_trip(client, b"x")
    assert loop.time() - began >= 0.1


async def test_bandwidth_is_limited(proxy: FaultProxy, client: Streams) -> None:
    """10,000 bytes at 50,000 bytes/s take at least 0.15 s."""
    proxy.faults = Faults(bytes_per_s=50_000)
    loop = asyncio.get_running_loop()
    began = loop.time()
    await round_trip(client, bytes(10_000))
    assert loop.time() - began >= 0.15


@pytest.mark.parametrize("hole", [(UP,), (DOWN,), (UP, DOWN)])
async def test_a_black_hole_holds_and_lets_go(
    proxy: FaultProxy, client: Streams, echo: Echo, hole: tuple[str, ...]
) -> None:
    """Nothing passes in that direction; when it is gone, all that waited does."""
    proxy.links[0].faults = Faults(hole=hole)
    client[1].write(b"hello")
    assert await nothing_for(client, 0.05)
    assert bool(echo.pieces) == (UP not in hole)
    proxy.heal()
    assert await asyncio.wait_for(client[0].readexactly(5), LIMIT_S) == b"hello"


async def test_a_black_hole_takes_new_connections_and_passes_nothing(proxy: FaultProxy, echo: Echo) -> None:
    """A connection is accepted, and hears nothing."""
    proxy.faults = BLACK_HOLE
    late = await asyncio.open_connection("127.0.0.1", proxy.port)
    late[1].write(b"x")
    assert await nothing_for(late, 0.05)
    assert not echo.pieces
    late[1].close()


async def test_what_it_holds_is_bounded(echo: Echo) -> None:
    """Before a stall, the sender is held up: the proxy takes no more than it may."""
    async with FaultProxy(echo.port, buffer_bytes=4_096) as proxy:
        _, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        proxy.faults = Faults(hole=(UP,))
        writer.write(bytes(8_000_000))
        await asyncio.sleep(0.05)
        assert writer.transport.get_write_buffer_size() > 1_000_000  # type: ignore[attr-defined]
        writer.transport.abort()


async def test_a_reset_is_a_reset_for_both(proxy: FaultProxy, client: Streams, echo: Echo) -> None:
    """Not a clean end."""
    await round_trip(client, b"x")
    proxy.reset()
    with pytest.raises(ConnectionResetError):
        await asyncio.wait_for(client[0].read(1), LIMIT_S)
    await until(lambda: bool(echo.ends))
    assert echo.ends == ["reset"]
    assert not proxy.links


async def test_a_pulled_plug_is_not_heard_by_the_server(proxy: FaultProxy, client: Streams, echo: Echo) -> None:
    """Until its end is ended, too."""
    await round_trip(client, b"x")
    proxy.pull_the_plug()
    with pytest.raises(ConnectionResetError):
        await asyncio.wait_for(client[0].read(1), LIMIT_S)
    assert not echo.ends
    proxy.end_orphans()
    await until(lambda: echo.ends == ["reset"])


async def test_a_half_closed_connection_still_answers(proxy: FaultProxy, client: Streams, echo: Echo) -> None:
    """The server sees the end; what it says after it arrives."""
    await round_trip(client, b"x")
    proxy.half_close(UP)
    assert await asyncio.wait_for(client[0].read(), LIMIT_S) == b"bye"
    assert echo.ends == ["end"]


async def test_the_clients_own_half_close_is_passed_on(client: Streams, echo: Echo) -> None:
    """Without any fault."""
    client[1].write_eof()
    assert await asyncio.wait_for(client[0].read(), LIMIT_S) == b"bye"


async def test_it_refuses_and_accepts_again(proxy: FaultProxy, client: Streams) -> None:
    """At the same port; connections that exist go on."""
    proxy.refuse()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", proxy.port)
    assert await round_trip(client, b"still here") == b"still here"
    proxy.accept()
    again = await asyncio.open_connection("127.0.0.1", proxy.port)
    assert await round_trip(again, b"back") == b"back"
    again[1].close()


async def test_a_dead_server_is_a_reset(proxy: FaultProxy, echo: Echo, free_port: Callable[[], int]) -> None:
    """The proxy accepts, finds nobody behind it, and says so."""
    async with FaultProxy(free_port()) as orphan:
        reader, writer = await asyncio.open_connection("127.0.0.1", orphan.port)
        with pytest.raises(ConnectionResetError):
            await asyncio.wait_for(reader.read(1), LIMIT_S)
        writer.close()
