"""A conversation as a page of its own: no script, nothing from elsewhere, and what models wrote is made harmless."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from html import escape

import nh3
from markdown_it import MarkdownIt
from markdown_it.renderer import RendererProtocol
from markdown_it.token import Token

from app.http.export_parts import CUT_OFF_WORDS, answer_of
from app.protocol.snapshot import ChartView, MessageView, ToolCallView
from app.store.base import ConversationRecord

_STYLE = """
:root { color-scheme: light dark; --line: #d0d5dd; --soft: #667085; --user: #eef4ff; }
@media (prefers-color-scheme: dark) { :root { --line: #344054; --soft: #98a2b3; --user: #1c2b4a; } }
body { font: 16px/1.55 system-ui, sans-serif; max-width: 46rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; overflow-wrap: anywhere; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .15rem 1rem; color: var(--soft); font-size: .9rem; }
dd { margin: 0; overflow-wrap: anywhere; }
article { border: 1px solid var(--line); border-radius: .6rem; padding: .4rem 1rem; margin: 1rem 0; }
article { overflow-wrap: anywhere; }
article.user { background: var(--user); }
article > header { display: flex; flex-wrap: wrap; gap: .2rem .8rem; align-items: baseline; }
article > header span, footer { color: var(--soft); font-size: .85rem; }
article.aside { border-style: dashed; font-size: .92rem; }
figure { margin: 1rem 0; padding: .8rem 1rem; border: 1px solid var(--line); border-radius: .6rem; }
figure img { display: block; max-width: 100%; margin: 0 auto .5rem; }
figcaption { overflow-wrap: anywhere; }
figcaption span { color: var(--soft); font-size: .85rem; margin-left: .8rem; }
details { border: 1px dashed var(--line); border-radius: .6rem; padding: .5rem 1rem; margin: 1rem 0; }
summary { cursor: pointer; overflow-wrap: anywhere; }
summary span { color: var(--soft); font-size: .85rem; margin-left: .8rem; }
details pre { white-space: pre-wrap; overflow-wrap: anywhere; }
pre { overflow-x: auto; padding: .6rem; border: 1px solid var(--line); border-radius: .4rem; }
.plain { white-space: pre-wrap; }
table { border-collapse: collapse; display: block; overflow-x: auto; }
th, td { border: 1px solid var(--line); padding: .2rem .6rem; }
"""
_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
POLICY = f"default-src 'none'; img-src data:; style-src 'sha256-{_HASH}'; base-uri 'none'; form-action 'none'"

_TAGS = {
    "a", "b", "blockquote", "br", "code", "del", "em", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "i", "li", "ol", "p",
    "pre", "s", "strong", "table", "tbody", "td", "th", "thead", "tr", "ul",
}  # fmt: skip
_ATTRIBUTES: dict[str, set[str]] = {"a": {"href", "title"}, "ol": {"start"}}
_markdown = MarkdownIt("commonmark", {"html": False, "linkify": False}).enable(["table", "strikethrough"])


def _link_to_image(_: RendererProtocol, tokens: Sequence[Token], index: int, *__: object) -> str:
    image = tokens[index]
    return f'<a href="{escape(str(image.attrGet("src") or ""))}">{escape(image.content or "image")}</a>'


_markdown.add_render_rule("image", _link_to_image)


def harmless(text: str) -> str:
    """Markdown as HTML in which nothing runs and nothing is loaded: images are links, as on the page, and there are no
    addresses but of pages and mail.
    """
    return nh3.clean(
        _markdown.render(text),
        tags=_TAGS,
        attributes=_ATTRIBUTES,
        url_schemes={"http", "https", "mailto"},
        url_relative="deny",  # of a file on a disk, it leads nowhere
        link_rel="noopener noreferrer nofollow",
    )


def page_begin(record: ConversationRecord, at: str) -> str:
    """The page up to its first message."""
    title, spent = escape(record.title), record.usage
    about = "about " if spent.estimated else ""
    facts = [
        ("Team", escape(record.team)),
        ("Begun", escape(record.created_at)),
        ("Last changed", escape(record.updated_at)),
        ("Status", escape(record.status)),
        ("Tokens", f"{about}{spent.prompt_tokens} read, {spent.completion_tokens} written{spent.cost_words()}"),
        ("Exported", escape(at)),
    ]
    if record.demo:
        facts.insert(0, ("Demo", "a prepared script, no model spoke"))
    rows = "".join(f"<dt>{name}</dt><dd>{value}</dd>" for name, value in facts)
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{escape(POLICY)}">'
        f'<meta name="referrer" content="no-referrer">'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{title}</title><style>{_STYLE}</style></head>\n<body><h1>{title}</h1><dl>{rows}</dl><main>\n"
    )


def page_message(message: MessageView) -> str:
    """One message."""
    user = message.role == "user"
    remarks = [message.timestamp] if message.kind == "message" else [message.kind, message.timestamp]
    if message.model:
        remarks.append(f"by {message.model}")
    if message.state == "partial":
        remarks.append(f"broken off: {message.reason or ''}")
    elif message.state == "open":
        remarks.append("still being written")
    if message.cut_off:
        remarks.append(CUT_OFF_WORDS)
    if message.updated_by:
        remarks.append(f"changed by {message.updated_by}")
    if message.feedback:
        remarks.append(f"feedback: {message.feedback}")
    told = "".join(f"<span>{escape(each)}</span>" for each in remarks)
    body = f'<p class="plain">{escape(message.content)}</p>' if user else harmless(message.content)
    kind = "user" if user else "agent" if message.kind == "message" else "aside"
    return f'<article class="{kind}"><header><strong>{escape(message.agent)}</strong>{told}</header>{body}</article>\n'


def page_tool_call(call: ToolCallView) -> str:
    """One call of a tool, folded."""
    ended, answer = answer_of(call)
    texts = "".join(f"<pre>{escape(text.strip())}</pre>" for text in (call.arguments, answer) if text.strip())
    told = "".join(f"<span>{escape(each)}</span>" for each in (call.timestamp, ended))
    head = f"<summary><strong>{escape(call.agent)}</strong> calls <code>{escape(call.tool)}</code>{told}</summary>"
    return f"<details>{head}{texts}</details>\n"


def page_chart(chart: ChartView, address: str | None) -> str:
    """One chart. Nothing in its picture runs.

    :param address: of the picture, as ``data:``; None: it can only be named.
    """
    title = escape(chart.title or chart.symbol or "Chart")
    told = [chart.agent or "", chart.timestamp, "" if address else "the picture is not in this file"]
    spans = "".join(f"<span>{escape(each)}</span>" for each in told if each)
    picture = f'<img src="{address}" alt="Chart: {title}">' if address else ""
    return f"<figure>{picture}<figcaption><strong>{title}</strong>{spans}</figcaption></figure>\n"


def page_end(record: ConversationRecord) -> str:
    """What came of it, and the end of the page."""
    outcome = record.state.get("outcome") or {}
    parts = [
        f"<h2>{name.capitalize()}</h2>{harmless(str(outcome[name]))}"
        for name in ("summary", "consensus")
        if outcome.get(name)
    ]
    return f"</main>{''.join(parts)}<footer><p>Exported from Colloquy.</p></footer></body></html>\n"
