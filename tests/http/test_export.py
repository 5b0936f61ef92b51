"""Names of files, and what a page of a conversation lets through."""

from __future__ import annotations

from collections import Counter
from html.parser import HTMLParser

import pytest
from markdown_it import MarkdownIt

from app.http.export import _block, _closed, file_names, remarks
from app.http.export_html import harmless, page_begin, page_chart, page_end, page_message, page_tool_call
from app.http.export_parts import answer_of, in_time
from app.protocol.common import ContentType
from app.protocol.snapshot import ChartView, MessageView, ToolCallView
from app.store.base import ConversationRecord

NASTY = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "![spy](http://evil.example/x.png)",
    "[a](javascript:alert(1))",
    "[a](JaVaScRiPt&#58;alert(1))",
    "<svg/onload=alert(1)>",
    "<a href='javascript:alert(1)'>x</a>",
    "<style>@import 'http://evil.example'</style>",
    "<iframe src=http://evil.example></iframe>",
    "```html\n<script>alert(1)</script>\n```",
    "[x]: http://evil.example/a.png\n![x][x]",
    "<meta http-equiv=refresh content='0;url=http://evil.example'>",
    "<form action=http://evil.example><button>x</button></form>",
    "</main></body><script>alert(1)</script>",
    '"><script>alert(1)</script>',
]


class Elements(HTMLParser):
    """What a browser would make of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.count: Counter[str] = Counter()
        self.attributes: set[str] = set()
        self.links: list[str] = []
        self.feed(page)

    @property
    def tags(self) -> set[str]:
        return set(self.count)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.count[tag] += 1
        self.attributes |= {name for name, _ in attrs}
        self.links += [value or "" for name, value in attrs if name == "href"]


@pytest.mark.parametrize(
    ("title", "plain", "full"),
    [
        (
            "Are bank shares cheap?",
            "colloquy-2026-11-21-Are-bank-shares-cheap",
            "colloquy-2026-11-21-Are-bank-shares-cheap",
        ),
        ("Zürich & Łódź", "colloquy-2026-11-21-Zurich-odz", "colloquy-2026-11-21-Zürich-Łódź"),
        ("../../etc/passwd", "colloquy-2026-11-21-etc-passwd", "colloquy-2026-11-21-etc-passwd"),
        ('a"; filename="b\r\nX: y', "colloquy-2026-11-21-a-filename-b-X-y", "colloquy-2026-11-21-a-filename-b-X-y"),
        ("日本", "colloquy-2026-11-21", "colloquy-2026-11-21-日本"),
        ("\ud800\x00", "colloquy-2026-11-21", "colloquy-2026-11-21"),
        ("x" * 500, "colloquy-2026-11-21-" + "x" * 60, "colloquy-2026-11-21-" + "x" * 60),
        ("", "colloquy-2026-11-21", "colloquy-2026-11-21"),
    ],
)
def test_file_names(title: str, plain: str, full: str) -> None:
    """No path, no quote, no line end, no endless name."""
    assert file_names(title, "2026-11-21T09:00:00.000Z") == (plain, full)


@pytest.mark.parametrize("text", NASTY)
def test_nothing_runs_and_nothing_loads(text: str) -> None:
    """Wherever a model can write: its words, its name, a title, the outcome."""
    record = ConversationRecord(
        conversation_id="c",
        owner="local",
        title=text,
        team=text,
        content_type=ContentType.TEXT,
        created_at="2026-11-21T09:00:00.000Z",
        updated_at="2026-11-21T09:00:00.000Z",
        state={"outcome": {"summary": text, "consensus": text}},
    )
    message = MessageView(
        message_id="m",
        agent=text,
        content=text,
        state="partial",
        reason=text,
        model=text,
        updated_by=text,
        timestamp="t",
    )
    said = MessageView(message_id="u", agent="user", role="user", content=text, state="complete", timestamp="t")
    chart = ChartView(chart_id="c", url=text, symbol=text, title=text, agent=text, timestamp=text)
    thought = message.model_copy(update={"kind": "thought"})
    call = ToolCallView(call_id="1", agent=text, tool=text, arguments=text, timestamp=text, success=True, preview=text)
    parts = [page_message(message), page_message(said), page_message(thought), page_chart(chart, None)]
    parts.append(page_tool_call(call))
    page = page_begin(record, "t") + "".join(parts) + page_end(record)
    seen = Elements(page)
    assert seen.tags.isdisjoint({"script", "img", "svg", "iframe", "form", "button", "link", "object"})
    assert seen.count["meta"] == 4
    assert seen.count["style"] == seen.count["body"] == seen.count["main"] == 1
    assert seen.attributes <= {"lang", "charset", "http-equiv", "content", "name", "class", "href", "title", "rel"}
    assert all(link.startswith(("http://", "https://", "mailto:")) for link in seen.links)


def test_an_image_is_a_link_as_on_the_page() -> None:
    """It was left out, with its words."""
    page = harmless("![A chart](https://example.com/c.png) ![](https://example.com/d.png) ![no](javascript:x)")
    assert ">A chart</a>" in page
    assert ">image</a>" in page
    assert "no" in page
    assert Elements(page).links == ["https://example.com/c.png", "https://example.com/d.png"]


def test_markdown_is_markdown() -> None:
    """Tables, code, emphasis, links that tell nobody where they were clicked."""
    html = harmless("**b** `c` [l](https://x.example)\n\n| a |\n| - |\n| 1 |\n\n~~s~~")
    for part in ("<strong>b</strong>", "<code>c</code>", "<table>", "<td>1</td>", "<s>s</s>"):
        assert part in html
    assert 'rel="noopener noreferrer nofollow"' in html


def test_a_reply_that_was_cut_off_says_so() -> None:
    """Else nobody knows that there was more to say."""
    message = MessageView(message_id="m", agent="a", content="One, two,", state="complete", timestamp="t")
    told = "cut off at its greatest length"
    for write in (page_message, remarks):
        assert told not in write(message)
        assert told in write(message.model_copy(update={"cut_off": True}))


def test_a_tool_call_says_what_came_of_it() -> None:
    """Also where only the beginning of its answer is known, and where there is none."""
    call = ToolCallView(call_id="1", agent="a", tool="t", success=True, preview="ab", length=2)
    assert answer_of(call) == ("answered", "ab")
    assert answer_of(call.model_copy(update={"length": 5000}))[0] == "answered, 2 of 5,000 characters"
    assert answer_of(call.model_copy(update={"success": False}))[0] == "failed"
    assert answer_of(ToolCallView(call_id="1", agent="a", tool="t")) == ("no answer", "")


@pytest.mark.parametrize("text", ["plain", "```\n# no heading\n```", "a ````` b"])
def test_no_text_ends_its_block(text: str) -> None:
    """In Markdown, what a tool has answered is shown as it is."""
    [token] = MarkdownIt().parse(_block(text))
    assert (token.type, token.content) == ("fence", f"{text}\n")


@pytest.mark.parametrize(
    "text",
    [
        "Look:\n```python\nx = 1",
        "```\na\n```\nb\n  ~~~~ sh\n~~~\n```\nc",
        "````md\n```\ninner\n```\nmore",
        "```",
        "said and done\n```\na\n```",
        "no ```fence`` at all\n``` not `one` either",
        "    ```\nneither",
        "",
    ],
)
def test_no_message_swallows_the_next(text: str) -> None:
    """One that broke off within a block of code, for one; what is whole stays as it is."""
    reader = MarkdownIt()
    closed = _closed(text)
    assert any(token.type == "heading_open" for token in reader.parse(f"{closed}\n\n## Next\n"))
    swallows = not any(token.type == "heading_open" for token in reader.parse(f"{text}\n\n## Next\n"))
    assert (closed != text) is swallows


def test_charts_stand_between_the_messages_at_their_time() -> None:
    """What came after the last message, too."""

    def message(at: str) -> MessageView:
        return MessageView(message_id=at, agent="a", timestamp=at)

    charts = tuple(ChartView(chart_id=at, url="", timestamp=at) for at in ("2", "4", "9"))
    told = [each.timestamp for each in in_time(iter([message("1"), message("3"), message("5")]), charts)]
    assert told == ["1", "2", "3", "4", "5", "9"]


def test_a_chart_is_shown_only_from_the_page_itself() -> None:
    """Its picture is in the file, with words for who cannot see it; else it says that it is not."""
    chart = ChartView(chart_id="c", url="/api/x", title='A "line"', agent="Analyst", timestamp="t")
    shown = page_chart(chart, "data:image/png;base64,AA==")
    assert '<img src="data:image/png;base64,AA==" alt="Chart: A &quot;line&quot;">' in shown
    assert "the picture is not in this file" in page_chart(chart, None)
