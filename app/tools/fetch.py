"""Fetch a page that a user names, and nothing that a user must not reach through us."""

from __future__ import annotations

import asyncio
import ipaddress
import os
import socket
import sys
import zlib
from asyncio.subprocess import DEVNULL, PIPE
from contextlib import suppress
from typing import Any

import httpcore2
import httpx2

from app.errors import FetchFailed
from app.protocol.common import ToolFailure
from app.tools import page_text

MAX_BYTES = 1024 * 1024
TIMEOUT_S = 10.0
MAX_REDIRECTS = 3
MAX_PORT = 65_535
_HTML_TYPES = ("text/html", "application/xhtml+xml")
_TEXT_TYPES = (*_HTML_TYPES, "text/plain", "text/markdown")
_MAX_CHARSET_CHARS = 40
MAX_READERS = 4
"""Pages that are parsed at once, in one runner; others wait."""
_readers = asyncio.Semaphore(MAX_READERS)
_ENVIRONMENT = {name: os.environ[name] for name in ("PATH", "PYTHONPATH", "LD_LIBRARY_PATH") if name in os.environ}
_GONE = (404, 410)
_NO_SUCH_NAME = {socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)}
_ANY_ZLIB = zlib.MAX_WBITS | 32  # gzip or zlib, by its head


class FetchRefused(FetchFailed):
    """The address is none that may be fetched."""

    tool_failure: ToolFailure = "refused"


class PageUnknown(FetchFailed):
    """There is no such page, or no such server."""

    tool_failure: ToolFailure = "not_found"


async def fetch_readable(url: str) -> str:
    """The readable text of a page.

    Only http and https, only public addresses (each redirection is checked again, and the connection goes to the very
    address that was checked), at most ``MAX_BYTES``, ``TIMEOUT_S`` and ``MAX_REDIRECTS``.

    :raises FetchFailed: with a sentence for a person.
    """
    try:
        async with asyncio.timeout(TIMEOUT_S):
            return await _follow(url)
    except TimeoutError:
        raise FetchFailed(f"the page was not there within {TIMEOUT_S:g} s") from None
    except (httpcore2.UnsupportedProtocol, UnicodeError):
        raise FetchRefused("this is no address of a page") from None
    except socket.gaierror as error:
        if error.errno in _NO_SUCH_NAME:
            raise PageUnknown("no server of this name can be found") from error
        raise FetchFailed("the server's name cannot be looked up: is there a network?") from error
    except (httpcore2.NetworkError, httpcore2.ProtocolError, httpcore2.TimeoutException, OSError) as error:
        raise FetchFailed(f"the page cannot be fetched: {type(error).__name__}") from error


async def _follow(url: str) -> str:
    target = _target(httpx2.URL(), url.strip())
    async with httpcore2.AsyncConnectionPool(network_backend=_PublicBackend()) as pool:
        for _ in range(MAX_REDIRECTS + 1):
            async with pool.stream("GET", str(target), headers=_headers(target)) as response:
                headers = httpx2.Headers(response.headers)
                if response.status in (301, 302, 303, 307, 308) and "location" in headers:
                    target = _target(target, headers["location"])
                    continue
                if response.status != 200:
                    kind = PageUnknown if response.status in _GONE else FetchFailed
                    raise kind(f"the page answers with status {response.status}")
                return await _text(response, headers)
    raise FetchFailed("the page redirects too often")


def _target(base: httpx2.URL, address: str) -> httpx2.URL:
    """Where an address leads.

    :raises FetchRefused: it is none, or none of a page.
    """
    try:
        target = base.join(address)
    except (httpx2.InvalidURL, ValueError):
        raise FetchRefused("this is no address of a page") from None
    if (target.port or 0) > MAX_PORT:
        raise FetchRefused(f"there is no port {target.port}")
    if target.scheme not in ("http", "https") or not target.host:
        raise FetchRefused("only http and https addresses can be fetched")
    return target


def _headers(url: httpx2.URL) -> list[tuple[bytes, bytes]]:
    return [
        (b"host", url.netloc),
        (b"user-agent", b"Colloquy"),
        (b"accept", b"text/html, text/plain;q=0.9"),
        (b"accept-encoding", b"identity"),
    ]


async def _text(response: httpcore2.Response, headers: httpx2.Headers) -> str:
    kind, _, parameters = headers.get("content-type", "text/html").partition(";")
    kind = kind.strip().lower()
    if kind not in _TEXT_TYPES:
        raise FetchFailed(f"the page is no text but {kind or 'of unknown type'}")
    body = await _body(response, headers.get("content-encoding", "identity").strip().lower())
    charset = parameters.partition("charset=")[2].partition(";")[0].strip(" \"'")[:_MAX_CHARSET_CHARS]
    readable = await _readable("html" if kind in _HTML_TYPES else "plain", charset, body)
    if not readable.strip():
        raise FetchFailed("the page has no readable text")
    return readable


async def _body(response: httpcore2.Response, encoding: str) -> bytes:
    """The body, decompressed where the server has compressed it unasked; never more than ``MAX_BYTES`` of it."""
    if encoding not in ("identity", "", "gzip", "deflate"):
        raise FetchFailed("the page comes in an encoding that was not asked for")
    unpacked = zlib.decompressobj(_ANY_ZLIB) if encoding in ("gzip", "deflate") else None
    body = bytearray()
    async for part in response.aiter_stream():
        try:
            body += part if unpacked is None else unpacked.decompress(part, MAX_BYTES + 1 - len(body))
        except zlib.error:
            raise FetchFailed("the page is broken: it cannot be decompressed") from None
        if len(body) > MAX_BYTES:
            raise FetchFailed("the page is too long: over 1 MB")
    return bytes(body)


async def _readable(kind: str, charset: str, body: bytes) -> str:
    """The text of a body, made in a process of its own: see :mod:`app.tools.page_text`."""
    async with _readers:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-P", page_text.__file__, kind, charset,
            stdin=PIPE, stdout=PIPE, stderr=DEVNULL, env=_ENVIRONMENT,
        )  # fmt: skip
        try:
            text, _ = await process.communicate(body)
        finally:
            if process.returncode is None:  # nobody waits for it any more
                with suppress(ProcessLookupError):
                    process.kill()
                await process.wait()
    if process.returncode != 0:
        raise FetchFailed("the page is broken, or too much for our parser")
    return text.decode()


class _PublicBackend(httpcore2.AsyncNetworkBackend):
    """Connects to public addresses only, and to the one that it has checked (so DNS cannot change its mind)."""

    def __init__(self) -> None:
        self._inner = httpcore2.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109  # httpcore2's
        local_address: str | None = None,
        socket_options: Any = None,
    ) -> httpcore2.AsyncNetworkStream:
        failed: Exception | None = None
        for address in await public_addresses(host, port):
            try:
                return await self._inner.connect_tcp(address, port, timeout, local_address, socket_options)
            except (httpcore2.NetworkError, httpcore2.TimeoutException, OSError) as error:
                failed = error  # a machine without IPv6, say
        raise failed or OSError("the name has no address")


async def public_addresses(host: str, port: int) -> list[str]:
    """The addresses of a host, all of which are public.

    :raises FetchRefused: one of them is private, loopback, link-local or reserved.
    :raises OSError: the name is unknown.
    """
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
    if not addresses or not all(is_public(address) for address in addresses):
        raise FetchRefused("this address is not a public one")
    return addresses


def is_public(address: str) -> bool:
    """Whether an IP address may be fetched from; an IPv4 one inside an IPv6 one counts as itself."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        ip = ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else None) or _nat64(ip) or ip
    inner = isinstance(ip, ipaddress.IPv6Address) and ip.is_site_local  # fec0::/10, which is_private leaves out
    return ip.is_global and not (inner or ip.is_multicast or ip.is_reserved or ip.is_private)


def _nat64(ip: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    inside = ip in ipaddress.ip_network("64:ff9b::/96")
    return ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF) if inside else None
