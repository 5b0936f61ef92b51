"""Fetch a page that a user names, and nothing that a user must not reach through us."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from html.parser import HTMLParser
from typing import Any

import httpcore2
import httpx2

from app.errors import FetchFailed

MAX_BYTES = 1024 * 1024
TIMEOUT_S = 10.0
MAX_REDIRECTS = 3
_SKIPPED = frozenset({"script", "style", "noscript", "template", "svg", "nav", "footer", "form", "iframe"})
_BLOCKS = frozenset(
    {"p", "div", "li", "br", "tr", "section", "article", "h1", "h2", "h3", "h4", "h5", "h6", "blockquote"}
)
_TEXT_TYPES = ("text/html", "application/xhtml+xml", "text/plain", "text/markdown")


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
    except (httpx2.InvalidURL, httpcore2.UnsupportedProtocol, UnicodeError):
        raise FetchFailed("this is no address of a page") from None
    except (httpcore2.NetworkError, httpcore2.ProtocolError, httpcore2.TimeoutException, OSError) as error:
        raise FetchFailed(f"the page cannot be fetched: {type(error).__name__}") from error


async def _follow(url: str) -> str:
    target = httpx2.URL(url)
    async with httpcore2.AsyncConnectionPool(network_backend=_PublicBackend()) as pool:
        for _ in range(MAX_REDIRECTS + 1):
            if target.scheme not in ("http", "https") or not target.host:
                raise FetchFailed("only http and https addresses can be fetched")
            async with pool.stream("GET", str(target), headers=_headers(target)) as response:
                headers = httpx2.Headers(response.headers)
                if response.status in (301, 302, 303, 307, 308) and "location" in headers:
                    target = target.join(headers["location"])
                    continue
                if response.status != 200:
                    raise FetchFailed(f"the page answers with status {response.status}")
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
    if kind.strip().lower() not in _TEXT_TYPES:
        raise FetchFailed(f"the page is no text but {kind.strip() or 'of unknown type'}")
    if headers.get("content-encoding", "identity") != "identity":
        raise FetchFailed("the page comes in an encoding that was not asked for")
    body = bytearray()
    async for part in response.aiter_stream():
        body += part
        if len(body) > MAX_BYTES:
            raise FetchFailed("the page is too long: over 1 MB")
    charset = parameters.partition("charset=")[2].strip(" \"'") or "utf-8"
    try:
        text = body.decode(charset, "replace")
    except LookupError:
        text = body.decode("utf-8", "replace")
    readable = text if kind.strip().lower().startswith("text/") and "html" not in kind else readable_text(text)
    if not readable.strip():
        raise FetchFailed("the page has no readable text")
    return readable


def readable_text(html: str) -> str:
    """The text of a page's blocks, one per line, without scripts, styles, navigation and forms."""
    parser = _Reader()
    parser.feed(html)
    parser.close()
    lines = (" ".join(line.split()) for line in "".join(parser.parts).splitlines())
    return "\n".join(line for line in lines if line)


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self._skipping: list[str] = []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        if tag in _SKIPPED:
            self._skipping.append(tag)
        elif tag in _BLOCKS:
            self.parts.append("\n")

    def handle_endtag(self, tag: str) -> None:
        if tag in self._skipping:
            while self._skipping.pop() != tag:
                pass
        elif tag in _BLOCKS or tag == "title":
            self.parts.append("\n")

    def handle_data(self, data: str) -> None:
        if not self._skipping:
            self.parts.append(data.replace("\n", " "))


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
        address = await public_address(host, port)
        return await self._inner.connect_tcp(address, port, timeout, local_address, socket_options)


async def public_address(host: str, port: int) -> str:
    """One address of a host, all of whose addresses are public.

    :raises FetchFailed: one of them is private, loopback, link-local or reserved.
    :raises OSError: the name is unknown.
    """
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    addresses = [str(entry[4][0]) for entry in found]
    if not addresses or not all(is_public(address) for address in addresses):
        raise FetchFailed("this address is not a public one")
    return addresses[0]


def is_public(address: str) -> bool:
    """Whether an IP address may be fetched from; an IPv4 one inside an IPv6 one counts as itself."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        ip = ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else None) or _nat64(ip) or ip
    return ip.is_global and not (ip.is_multicast or ip.is_reserved or ip.is_private)


def _nat64(ip: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    inside = ip in ipaddress.ip_network("64:ff9b::/96")
    return ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF) if inside else None
