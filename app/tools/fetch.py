"""Fetch a page that a user names, and nothing that a user must not reach through us."""

from __future__ import annotations

import asyncio
import ipaddress
import re
import socket
import zlib
from typing import Any

import httpcore2
import httpx2

from app.errors import FetchFailed
from app.protocol.common import ToolFailure
from app.tools.guard import ToolFailed, in_thread

MAX_BYTES = 1024 * 1024
TIMEOUT_S = 10.0
MAX_REDIRECTS = 3
_HTML_TYPES = ("text/html", "application/xhtml+xml")
_TEXT_TYPES = (*_HTML_TYPES, "text/plain", "text/markdown")
_HEAD_BYTES = 4096
_META_CHARSET = re.compile(rb"<meta[^>]{0,200}charset=[\"' ]?([\w-]{1,40})", re.IGNORECASE)
_GONE = (404, 410)
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
    except ToolFailed as error:
        raise FetchFailed("the page cannot be read now: too much is at work") from error
    except (httpx2.InvalidURL, httpcore2.UnsupportedProtocol, UnicodeError):
        raise FetchRefused("this is no address of a page") from None
    except socket.gaierror as error:
        raise PageUnknown("there is no server of this name") from error
    except (httpcore2.NetworkError, httpcore2.ProtocolError, httpcore2.TimeoutException, OSError) as error:
        raise FetchFailed(f"the page cannot be fetched: {type(error).__name__}") from error


async def _follow(url: str) -> str:
    target = httpx2.URL(url)
    async with httpcore2.AsyncConnectionPool(network_backend=_PublicBackend()) as pool:
        for _ in range(MAX_REDIRECTS + 1):
            if target.scheme not in ("http", "https") or not target.host:
                raise FetchRefused("only http and https addresses can be fetched")
            async with pool.stream("GET", str(target), headers=_headers(target)) as response:
                headers = httpx2.Headers(response.headers)
                if response.status in (301, 302, 303, 307, 308) and "location" in headers:
                    target = target.join(headers["location"])
                    continue
                if response.status != 200:
                    kind = PageUnknown if response.status in _GONE else FetchFailed
                    raise kind(f"the page answers with status {response.status}")
                return await _text(response, headers)
    raise FetchFailed("the page redirects too often")


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
    charset = parameters.partition("charset=")[2].partition(";")[0].strip(" \"'")
    html = kind in _HTML_TYPES
    readable = await in_thread(lambda: readable_text(_decoded(body, charset)) if html else _decoded(body, charset))
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


def _decoded(body: bytes, charset: str) -> str:
    """The text, by the first that fits: what the server says, what the page says, UTF-8; else as browsers take it."""
    stated = _META_CHARSET.search(body[:_HEAD_BYTES])
    for name in (charset, stated[1].decode() if stated else "", "utf-8"):
        try:
            return body.decode(name)
        except (LookupError, UnicodeError):
            continue
    return body.decode("windows-1252", "replace")


def readable_text(html: str) -> str:
    """What a page wants to say, without navigation and the like; all of its text where that cannot be told apart.

    Takes some 10 ms, for a page of ``MAX_BYTES`` a second: call it in a thread.
    """
    import trafilatura  # 0.3 s, and few runs need it

    if "<html" not in html[:_HEAD_BYTES].lower():
        html = f"<html><body>{html}</body></html>"  # a piece of a page is none to the library
    found: str | None = trafilatura.extract(html, include_comments=False, favor_recall=True)
    return found or str(trafilatura.html2txt(html))


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
    return ip.is_global and not (ip.is_multicast or ip.is_reserved or ip.is_private)


def _nat64(ip: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    inside = ip in ipaddress.ip_network("64:ff9b::/96")
    return ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF) if inside else None
