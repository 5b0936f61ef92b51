"""The readable text of a page that is at hand: charset, then the article without what stands around it.

:func:`app.tools.fetch.fetch_readable` runs this file as a program: a page of a megabyte can keep the parser busy for
minutes (an element with thousands of attributes), fill the memory, or break it, and that must end no conversation.

    page_text.py html|plain CHARSET < body > text
"""

from __future__ import annotations

import re
import resource
import sys
from contextlib import suppress

MAX_CPU_S = 10
MAX_MEMORY_BYTES = 1024 * 1024 * 1024
_HEAD_BYTES = 4096
_META_CHARSET = re.compile(rb"<meta[^>]{0,200}charset=[\"' ]?([\w-]{1,40})", re.IGNORECASE)


def decoded(body: bytes, charset: str) -> str:
    """The text, by the first that fits: what the server says, what the page says, UTF-8; else as browsers take it."""
    stated = _META_CHARSET.search(body[:_HEAD_BYTES])
    for name in (charset, stated[1].decode() if stated else "", "utf-8"):
        with suppress(LookupError, UnicodeError, ValueError):
            return body.decode(name)
    return body.decode("windows-1252", "replace")


def readable_text(html: str) -> str:
    """What a page wants to say, without navigation and the like; all of its text where that cannot be told apart."""
    import trafilatura  # 0.3 s

    if "<html" not in html[:_HEAD_BYTES].lower():
        html = f"<html><body>{html}</body></html>"  # a piece of a page is none to the library
    found: str | None = trafilatura.extract(html, include_comments=False, favor_recall=True)
    return found or str(trafilatura.html2txt(html))


def main() -> None:
    """The program."""
    kind, charset = sys.argv[1:]
    for what, most in ((resource.RLIMIT_CPU, MAX_CPU_S), (resource.RLIMIT_AS, MAX_MEMORY_BYTES)):
        with suppress(OSError, ValueError):  # not every system has it
            resource.setrlimit(what, (most, most))
    text = decoded(sys.stdin.buffer.read(), charset)
    sys.stdout.buffer.write((readable_text(text) if kind == "html" else text).encode(errors="replace"))


if __name__ == "__main__":
    main()
