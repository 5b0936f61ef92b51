"""Fetching a user's page: readable text, and no way into the machine's own network."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable

import pytest

from app.errors import FetchFailed
from app.tools import fetch, page_text
from app.tools.fetch import fetch_readable, is_public
from app.tools.guard import ToolFailed
from app.tools.page_text import readable_text
from app.tools.pages import read_page
from tests.tools.pages import PAGES, serve_pages


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "10.1.2.3", "192.168.1.1", "169.254.169.254", "0.0.0.0", "100.64.0.1", "224.0.0.1", "::1", "fe80::1",
     "fc00::1", "::ffff:127.0.0.1", "fec0::1", "64:ff9b::7f00:1", "2002:7f00:1::", "::"],
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
     "ftp://example.org/", "no address", "http://", "http://no-such-host.invalid/",
     "http://example.org:99999/", "http://example.org:x/", "http://user@127.0.0.1/"],
)  # fmt: skip
async def test_what_cannot_be_fetched(url: str) -> None:
    """Each is a typed error."""
    with pytest.raises(FetchFailed) as caught:
        await fetch_readable(url)
    assert caught.value.error_code == "fetch_failed"


def test_readable_text() -> None:
    """The article on lines of its own, without what stands around it; all text where there is no article."""
    html = (
        "<html><head><title>T</title><style>p{}</style></head><body><nav>menu</nav><article><h1>Head &amp; line</h1>"
        f"<p>One <b>two</b>\n three. {'This is said at length. ' * 20}</p><script>bad()</script>"
        "<ul><li>a</li><li>b</li></ul></article><footer>imprint</footer></body></html>"
    )
    text = readable_text(html)
    assert text.startswith("Head & line\nOne two three. This is said")
    assert not {"menu", "bad()", "imprint"} & set(text.split())
    assert readable_text("<p>One</p>") == "One"


@pytest.fixture
async def pages(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Callable[[str], str]]:
    """A real HTTP server on loopback, which for this test alone counts as public under the name page.test."""

    async def resolve(host: str, port: int) -> list[str]:
        if host != "page.test":
            raise FetchFailed("this address is not a public one")
        return ["127.0.0.1"]

    monkeypatch.setattr(fetch, "public_addresses", resolve)
    async with serve_pages() as port:
        yield lambda path: f"http://page.test:{port}{path}"


async def test_a_page_is_fetched(pages: Callable[[str], str]) -> None:
    """Also behind a redirection."""
    assert (await fetch_readable(pages("/page"))).split() == ["Hello", "reader"]
    assert (await fetch_readable(pages("/redirect"))).split() == ["Hello", "reader"]


@pytest.mark.parametrize("path", [path for path in PAGES if path.startswith("/bad")])
async def test_pages_that_are_refused(path: str, pages: Callable[[str], str]) -> None:
    """Too long, no text, an error, a redirection inside, or in a ring."""
    with pytest.raises(FetchFailed):
        await fetch_readable(pages(path))


@pytest.mark.parametrize(
    ("path", "text"),
    [("/meta", "Привет"), ("/latin", "Zürich grüßt"), ("/gzip", "Hello reader"), ("/odd-charset", "Grüße aus Zürich")],
)
async def test_pages_that_say_wrong_things_of_themselves(path: str, text: str, pages: Callable[[str], str]) -> None:
    """A charset that is not theirs or that nobody knows, a compression that was not asked for."""
    assert text in " ".join((await fetch_readable(pages(path))).split())


async def test_a_page_that_never_ends_is_given_up(pages: Callable[[str], str], monkeypatch: pytest.MonkeyPatch) -> None:
    """However slowly it drips."""
    monkeypatch.setattr(fetch, "TIMEOUT_S", 0.3)
    with pytest.raises(FetchFailed, match="not there within"):
        await fetch_readable(pages("/drip"))


@pytest.mark.parametrize("path", ["/hostile", "/hostile-charset"])
async def test_a_page_that_keeps_the_parser_busy_stops_nobody(
    path: str, pages: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Thousands of attributes hold a parser for minutes, and its process with it; some charsets are no better."""
    monkeypatch.setattr(fetch, "TIMEOUT_S", 1.0)
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            await asyncio.sleep(0.05)
            ticks += 1

    ticking = asyncio.create_task(tick())
    with pytest.raises(FetchFailed, match="not there within"):
        await fetch_readable(pages(path))
    ticking.cancel()
    assert ticks > 5


async def test_a_parser_that_dies_ends_nothing(pages: Callable[[str], str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Or runs out of its time or memory."""
    monkeypatch.setattr(page_text, "__file__", "/dev/null/page_text.py")
    with pytest.raises(FetchFailed, match="too much for our parser"):
        await fetch_readable(pages("/page"))


async def test_a_name_may_not_change_its_mind(monkeypatch: pytest.MonkeyPatch) -> None:
    """The connection goes to the address that was checked; a name with one private address has none for us."""
    answers = [["93.184.216.34", "127.0.0.1"], ["::1"], ["fd00::1", "2606:4700::1111"]]

    async def resolve(*_: object, **__: object) -> list[tuple[object, ...]]:
        return [(None, None, None, "", (address, 80)) for address in answers[0]]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", resolve)
    while answers:
        with pytest.raises(FetchFailed, match="not a public one"):
            await fetch_readable("http://page.test/")
        answers.pop(0)


@pytest.mark.parametrize(
    ("errno", "sentence"), [(socket.EAI_NONAME, "no server of this name"), (socket.EAI_AGAIN, "is there a network?")]
)
async def test_no_network_is_not_no_such_server(errno: int, sentence: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that nobody can look up now may be right."""

    async def resolve(*_: object, **__: object) -> list[tuple[object, ...]]:
        raise socket.gaierror(errno, "no")

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", resolve)
    with pytest.raises(FetchFailed, match=sentence.replace("?", r"\?")):
        await fetch_readable("http://page.test/")


async def test_teams_read_pages_with_a_tool(pages: Callable[[str], str]) -> None:
    """What fails is a sentence; what is long is cut, and says so."""
    assert "reader" in await read_page(pages("/page"))
    assert (await read_page(pages("/long"))).endswith("more characters …]")
    with pytest.raises(ToolFailed, match="Error: this address is not a public one"):
        await read_page("http://127.0.0.1/")
