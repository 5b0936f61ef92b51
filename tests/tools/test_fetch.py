"""Fetching a user's page: readable text, and no way into the machine's own network."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import pytest

from app.errors import FetchFailed
from app.tools import fetch
from app.tools.fetch import fetch_readable, is_public, readable_text
from tests.tools.pages import PAGES, serve_pages


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "10.1.2.3", "192.168.1.1", "169.254.169.254", "0.0.0.0", "100.64.0.1", "224.0.0.1", "::1", "fe80::1",
     "fc00::1", "::ffff:127.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::", "::"],
)  # fmt: skip
def test_private_addresses_are_refused(address: str) -> None:
    """In every notation."""
    assert not is_public(address)


@pytest.mark.parametrize("address", ["93.184.216.34", "2606:4700::1111", "::ffff:93.184.216.34"])
def test_public_addresses_are_not(address: str) -> None:
    """The world is open."""
    assert is_public(address)


@pytest.mark.parametrize(
    "url",
    ["http://127.0.0.1:1/", "http://localhost:1/", "http://[::1]:1/", "http://2130706433/", "file:///etc/passwd",
     "ftp://example.org/", "no address", "http://", "http://no-such-host.invalid/"],
)  # fmt: skip
async def test_what_cannot_be_fetched(url: str) -> None:
    """Each is a typed error."""
    with pytest.raises(FetchFailed) as caught:
        await fetch_readable(url)
    assert caught.value.error_code == "fetch_failed"


def test_readable_text() -> None:
    """Blocks on lines, without what is no text."""
    html = (
        "<html><head><title>T</title><style>p{}</style></head><body><nav>menu</nav><h1>Head &amp; line</h1>"
        "<p>One <b>two</b>\n three.</p><script>bad()</script><ul><li>a</li><li>b</li></ul></body></html>"
    )
    assert readable_text(html) == "T\nHead & line\nOne two three.\na\nb"


@pytest.fixture
async def pages(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Callable[[str], str]]:
    """A real HTTP server on loopback, which for this test alone counts as public under the name page.test."""

    async def resolve(host: str, port: int) -> str:
        if host != "page.test":
            raise FetchFailed("this address is not a public one")
        return "127.0.0.1"

    monkeypatch.setattr(fetch, "public_address", resolve)
    async with serve_pages() as port:
        yield lambda path: f"http://page.test:{port}{path}"


async def test_a_page_is_fetched(pages: Callable[[str], str]) -> None:
    """Also behind a redirection."""
    assert await fetch_readable(pages("/page")) == "Hello\nreader"
    assert await fetch_readable(pages("/redirect")) == "Hello\nreader"


@pytest.mark.parametrize("path", [path for path in PAGES if path.startswith("/bad")])
async def test_pages_that_are_refused(path: str, pages: Callable[[str], str]) -> None:
    """Too long, no text, an error, a redirection inside, or in a ring."""
    with pytest.raises(FetchFailed):
        await fetch_readable(pages(path))
