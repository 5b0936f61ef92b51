"""The process-wide way to all models: one connection pool, one TLS context, and sockets that read only when they may.

A run's gate must stand in front of the *socket*: pieces of a reply that were read already lie in the HTTP parser, and
only here can one tell a read that takes bytes from the kernel from one that does not. So the pool gets a network
backend whose streams ask the :class:`ReadGuard` of the task that reads.
"""

from __future__ import annotations

import asyncio
import ssl
import time
import urllib.parse
import urllib.request
from collections.abc import AsyncIterable, AsyncIterator, Iterable
from contextlib import suppress
from contextvars import ContextVar
from typing import Any

import anyio
import httpcore2
import httpx2

from app.providers.circuits import Circuits
from app.providers.gate import Gate

MAX_READ_INTERVAL_S = 0.07
READ_INTERVAL_PER_STREAM_S = 0.0014
MAX_CONNECTIONS = 4096
KEEPALIVE_S = 15.0
_PROBE_HEADERS = ("authorization", "api-key", "x-api-key", "anthropic-version", "user-agent")

_GUARD: ContextVar[ReadGuard | None] = ContextVar("_GUARD", default=None)

_ERRORS: tuple[tuple[type[Exception], type[httpx2.TransportError]], ...] = (
    (httpcore2.ConnectTimeout, httpx2.ConnectTimeout),
    (httpcore2.PoolTimeout, httpx2.PoolTimeout),
    (httpcore2.TimeoutException, httpx2.ReadTimeout),
    (httpcore2.ConnectError, httpx2.ConnectError),
    (httpcore2.ProxyError, httpx2.ProxyError),
    (httpcore2.UnsupportedProtocol, httpx2.UnsupportedProtocol),
    (httpcore2.NetworkError, httpx2.ReadError),
    (httpcore2.ProtocolError, httpx2.RemoteProtocolError),
)


class ReadGuard:
    """What one request obeys at the socket: its run's gate, and the pace of a busy process.

    Enter it (``with guard:``) in the task that sends the request or reads the body.
    """

    def __init__(self, gate: Gate, network: Network) -> None:
        self._gate = gate
        self._network = network
        self._last_read = 0.0
        self.reused_connection = False

    def __enter__(self) -> ReadGuard:
        self._token = _GUARD.set(self)
        return self

    def __exit__(self, *_: object) -> None:
        _GUARD.reset(self._token)

    async def read(self, inner: httpcore2.AsyncNetworkStream, max_bytes: int, timeout_s: float | None) -> bytes:
        """One read from the socket: once the gate is open, not too soon after the last; a pause breaks it off."""
        while True:
            await self._gate.opened()
            wait = self._last_read + self._network.read_interval_s - time.monotonic()
            if wait > 0:
                await asyncio.sleep(wait)
                if not self._gate.is_open:
                    continue
            with anyio.CancelScope() as scope, self._gate.reading(scope.cancel):
                data = await inner.read(max_bytes, timeout_s)
                self._last_read = time.monotonic()
                return data


class _GuardedStream(httpcore2.AsyncNetworkStream):
    def __init__(self, inner: httpcore2.AsyncNetworkStream) -> None:
        self._inner = inner
        self._was_read = False

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109  # httpcore2's
        guard = _GUARD.get()
        if guard is None:
            return await self._inner.read(max_bytes, timeout)
        data = await guard.read(self._inner, max_bytes, timeout)
        self._was_read = True
        return data

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109  # httpcore2's
        guard = _GUARD.get()
        if guard is not None:
            guard.reused_connection = self._was_read
        await self._inner.write(buffer, timeout)

    async def aclose(self) -> None:
        await self._inner.aclose()

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109  # httpcore2's
    ) -> httpcore2.AsyncNetworkStream:
        return _GuardedStream(await self._inner.start_tls(ssl_context, server_hostname, timeout))

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)


class _GuardedBackend(httpcore2.AsyncNetworkBackend):
    """asyncio sets TCP_NODELAY on its sockets, so nothing need be set here."""

    def __init__(self) -> None:
        self._inner = httpcore2.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109  # httpcore2's
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        stream = await self._inner.connect_tcp(host, port, timeout, local_address, socket_options)
        return _GuardedStream(stream)

    async def sleep(self, seconds: float) -> None:
        await self._inner.sleep(seconds)


class _Body(httpx2.AsyncByteStream):
    def __init__(self, inner: Any) -> None:
        self._inner = inner

    async def __aiter__(self) -> AsyncIterator[bytes]:
        with _Translated():
            async for part in self._inner:
                yield part

    async def aclose(self) -> None:
        with _Translated():
            await self._inner.aclose()


class _Translated:
    """Turns httpcore2's exceptions into httpx2's."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, _: object) -> None:
        if isinstance(error, Exception):
            for ours, theirs in _ERRORS:
                if isinstance(error, ours):
                    raise theirs(str(error)) from error


class PooledTransport(httpx2.AsyncBaseTransport):
    """An httpx2 transport over one httpcore2 pool per proxy, HTTP/1.1.

    ``httpx2.AsyncHTTPTransport`` takes no network backend; this is the same thing with ours. Proxies come from the
    environment (``HTTPS_PROXY``, ``NO_PROXY`` …).
    """

    def __init__(self, ssl_context: ssl.SSLContext) -> None:
        self._ssl_context = ssl_context
        self._pools: dict[str | None, httpcore2.AsyncConnectionPool] = {}
        self._proxies = urllib.request.getproxies()

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        url = httpcore2.URL(
            scheme=request.url.raw_scheme,
            host=request.url.raw_host,
            port=request.url.port,
            target=request.url.raw_path,
        )
        with _Translated():
            response = await self._pool(request.url).handle_async_request(
                httpcore2.Request(
                    method=request.method,
                    url=url,
                    headers=request.headers.raw,
                    content=request.stream,
                    extensions=request.extensions,
                )
            )
        assert isinstance(response.stream, AsyncIterable)
        return httpx2.Response(
            response.status, headers=response.headers, stream=_Body(response.stream), extensions=response.extensions
        )

    async def aclose(self) -> None:
        for pool in self._pools.values():
            with suppress(httpcore2.NetworkError, httpcore2.ProtocolError):
                await pool.aclose()

    def _pool(self, url: httpx2.URL) -> httpcore2.AsyncConnectionPool:
        proxy = self._proxies.get(url.scheme) or self._proxies.get("all")
        if proxy and urllib.request.proxy_bypass(url.host):
            proxy = None
        pool = self._pools.get(proxy)
        if pool is None:
            pool = self._pools[proxy] = httpcore2.AsyncConnectionPool(
                ssl_context=self._ssl_context,
                proxy=_proxy(proxy) if proxy else None,
                max_connections=MAX_CONNECTIONS,
                max_keepalive_connections=256,
                keepalive_expiry=KEEPALIVE_S,
                network_backend=_GuardedBackend(),
            )
        return pool


class Network:
    """What all runs of a process share.

    :param transport: stands in for the pool (tests).
    """

    def __init__(self, transport: httpx2.AsyncBaseTransport | None = None) -> None:
        self._ssl_context = httpx2.create_ssl_context() if transport is None else None
        self._given = transport is not None
        self.transport = transport or PooledTransport(self._context())
        self.active_streams = 0
        self.circuits = Circuits()

    @property
    def read_interval_s(self) -> float:
        """Least time between two reads of one stream: none for a single stream, more the more streams there are."""
        return min(MAX_READ_INTERVAL_S, (self.active_streams - 1) * READ_INTERVAL_PER_STREAM_S)

    async def probe(self, request: httpx2.Request, timeout_s: float) -> bool:
        """Whether the host of ``request`` answers ``GET …/models`` at all, on a connection of its own."""
        try:
            return await self.ask(models_url(request.url), request.headers, timeout_s) is not None
        except httpx2.HTTPError:
            return False

    async def ask(self, url: httpx2.URL, headers: httpx2.Headers, timeout_s: float) -> int | None:
        """The status of a GET on a connection of its own; None: no answer in time.

        :raises httpx2.HTTPError: no connection.
        """
        answer = await self.fetch(url, headers, timeout_s, max_bytes=0)
        return None if answer is None else answer[0]

    async def fetch(
        self, url: httpx2.URL, headers: httpx2.Headers, timeout_s: float, *, max_bytes: int
    ) -> tuple[int, bytes] | None:
        """Status and body of a GET on a connection of its own; None: no answer in time.

        :param max_bytes: what is longer is cut off; 0: the body is not read.
        :raises httpx2.HTTPError: no connection.
        """
        kept = {key: headers[key] for key in _PROBE_HEADERS if key in headers}
        probe = httpx2.Request("GET", url, headers={**kept, "connection": "close"})
        transport = self.transport if self._given else PooledTransport(self._context())
        token = _GUARD.set(None)
        try:
            async with asyncio.timeout(timeout_s):
                response = await transport.handle_async_request(probe)
                body = b""
                try:
                    if max_bytes:
                        async for part in response.aiter_raw():
                            body += part
                            if len(body) >= max_bytes:
                                break
                finally:
                    await response.aclose()
                return response.status_code, body[:max_bytes]
        except TimeoutError:
            return None
        finally:
            _GUARD.reset(token)
            if not self._given:
                await transport.aclose()

    async def aclose(self) -> None:
        """Close the pool's connections."""
        await self.transport.aclose()

    def _context(self) -> ssl.SSLContext:
        if self._ssl_context is None:
            self._ssl_context = httpx2.create_ssl_context()
        return self._ssl_context


def models_url(url: httpx2.URL) -> httpx2.URL:
    """The list of models beside the address that replies come from."""
    path = url.path.rstrip("/")
    for call in ("/chat/completions", "/messages"):
        if path.endswith(call):
            path = path.removesuffix(call) + "/models"
    return url.copy_with(path=path)


def _proxy(address: str) -> httpcore2.Proxy:
    parts = urllib.parse.urlsplit(address)
    auth = (parts.username, parts.password or "") if parts.username else None
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    port = f":{parts.port}" if parts.port else ""
    return httpcore2.Proxy(f"{parts.scheme or 'http'}://{host}{port}", auth=auth)
