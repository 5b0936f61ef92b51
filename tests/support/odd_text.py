"""Text as no test writes it by hand: other scripts, blanks in odd places, markup, halves of characters."""

from __future__ import annotations

from random import Random

_WORDS = (
    "the ", "share ", "price", ", ", "fell. ", " ", "  ", "\n", "\n\n", "\t", "\r\n", "```python\nprint(1)\n```\n",
    "**bold** ", "- item\n", "# Title\n", "<b>", "</script>", "&amp;", "{}", '{"a": 1}', "[DONE]", "data: x\n\n",
    "\\n", "\\", '"', "'", "%s", "Grüße ", "naïve ", "日本語", "שלום ", "مرحبا", "e\u0301", "\u200b", "\u2028",
    "\ufeff", "👩‍👩‍👧", "🇪🇺", "𝔘", "😀", "\ufffd", "\x00", "\x1b[31m", "\x7f",
)  # fmt: skip
WHOLE = "whole"
"""A seed that begins so cuts no character in two."""


def odd_pieces(seed: str, count: int) -> list[str]:
    """The pieces of a reply: not blank as a whole, and the same for the same seed. Characters may be cut in two."""
    random = Random(seed)
    pieces = [f"{seed}: ", *random.choices(_WORDS, k=max(0, count - 1))]
    cuts = 0.0 if seed.startswith(WHOLE) else 0.2
    return [half for piece in pieces for half in (_halves(piece) if random.random() < cuts else [piece])]


def _halves(piece: str) -> list[str]:
    """Cut in the middle, as UTF-16 counts: where JSON's own escapes may be cut."""
    units = piece.encode("utf-16-le")
    middle = len(units) // 4 * 2
    parts = [part.decode("utf-16-le", "surrogatepass") for part in (units[:middle], units[middle:])]
    return [part for part in parts if part]
