"""The names that models know agents by, and names and sentences that people read in one line."""

from __future__ import annotations

import re
import unicodedata


def identifier(name: str) -> str:
    """An agent's name as AutoGen and OpenAI take it: a Python identifier of ASCII characters.

    ``Financial Analyst`` → ``Financial_Analyst``, ``Müller`` → ``Muller``; other scripts become numbers. What is an
    identifier of ASCII characters stays as it is.
    """
    plain = "".join(each for each in unicodedata.normalize("NFKD", name) if not unicodedata.combining(each))
    found = re.sub(r"\W+", "_", plain.encode("ascii", "xmlcharrefreplace").decode())
    return f"_{found}" if not found or found[0].isdigit() else found


def one_line(text: str) -> str:
    """A text without line breaks and what commands a terminal; halves of characters become question marks."""
    readable = text.encode(errors="replace").decode()
    return " ".join("".join(" " if unicodedata.category(each) == "Cc" else each for each in readable).split())
