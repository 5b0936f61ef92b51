"""Fit what is sent to a provider's context, visibly. Tokens are estimated: their tables would need the network."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from app.errors import ModelRejected
from app.providers.forms import Form, Message
from app.runner.wire import ProviderSpec

MARK = "[… condensed …]"
DEFAULT_REPLY_TOKENS = 1024
TOKENS_PER_MESSAGE = 12
LOCAL_PROMPT_TOKENS = 1300
"""The bundled model reads some 150 tokens/s on one core: with more, its first word would be too long in coming."""
MIN_MESSAGE_TOKENS = 24


def estimate_tokens(text: str) -> int:
    """A figure that is rather too high: three letters per token, every digit and sign one, others by their bytes."""
    letters = sum(1 for char in text if char.isascii() and (char.isalpha() or char == " "))
    ascii_rest = sum(1 for char in text if char.isascii()) - letters
    others = len(text.encode("utf-8", "replace")) - letters - ascii_rest
    return -(-letters // 3) + ascii_rest + others


def prompt_budget(spec: ProviderSpec, *, tools: Sequence[Any] = (), share: float = 1.0) -> int:
    """Tokens that the prompt's messages may take: the context less the reply's share and the schemas of sent tools.

    :param tools: JSON schemas, or objects that have one as ``schema``.
    :param share: below 1 for another attempt, after the provider found the first one too long.
    """
    reply = spec.max_reply_tokens or min(DEFAULT_REPLY_TOKENS, spec.context_tokens // 4)
    schemas = [getattr(tool, "schema", tool) for tool in tools]
    sent = schemas and spec.function_calling  # else they are asked for in words, in requests of their own
    room = spec.context_tokens - reply - (estimate_tokens(json.dumps(schemas, default=str)) if sent else 0)
    return int(share * (min(room, LOCAL_PROMPT_TOKENS) if spec.kind == "local" else room))


def condense(messages: Sequence[Message], budget: int, form: Form[Message]) -> tuple[list[Message], bool]:
    """The messages as they fit into ``budget`` tokens, and whether anything had to go.

    System messages stay. Then the task (the first other message) and the newest messages matter most: over-long ones
    lose their middle, the oldest between them are dropped; ``MARK`` shows where.

    :raises ModelRejected: ``context_overflow``; the system messages alone are too long.
    """

    def cost(unit: Sequence[Message]) -> int:
        return sum(_cost(message, form) for message in unit)

    if cost(messages) <= budget:
        return list(messages), False
    systems = [message for message in messages if form.is_system(message)]
    others = _units([message for message in messages if not form.is_system(message)], form)
    left = budget - cost(systems)
    if left < MIN_MESSAGE_TOKENS + TOKENS_PER_MESSAGE:
        sentence = "the conversation is too long for the model: its instructions alone fill the context"
        raise ModelRejected(sentence, code="context_overflow")
    if not others:
        return list(systems), False
    caps = _caps(len(others), left)
    cut = [[_cut(message, cap // len(unit), form) for message in unit] for unit, cap in zip(others, caps, strict=True)]
    task, rest = cut[0], cut[1:]
    left -= cost(task)
    kept: list[list[Message]] = []
    for unit in reversed(rest):
        if cost(unit) > left - TOKENS_PER_MESSAGE:
            break
        left -= cost(unit)
        kept.insert(0, unit)
    if len(kept) < len(rest):
        task = [*task[:-1], _with_note(task[-1], form)]
    return [*systems, *task, *(message for unit in kept for message in unit)], True


def _units(messages: Sequence[Message], form: Form[Message]) -> list[list[Message]]:
    """Messages that must stay together: a tool call and its results."""
    units: list[list[Message]] = []
    for message in messages:
        if form.is_result(message) and units:
            units[-1].append(message)
        else:
            units.append([message])
    return units


def _caps(count: int, budget: int) -> list[int]:
    """How many tokens each unit may take: the task up to a half, the newest a third, the others what is left."""
    if count == 1:
        return [budget]
    newest = budget // 3
    middle = max(MIN_MESSAGE_TOKENS, budget // 6)
    return [budget // 2 - TOKENS_PER_MESSAGE * 2, *[middle] * (count - 2), newest]


def _cost(message: Message, form: Form[Message]) -> int:
    return estimate_tokens(form.text(message)) + estimate_tokens(form.speaker(message)) + TOKENS_PER_MESSAGE


def _cut(message: Message, cap: int, form: Form[Message]) -> Message:
    """The message with the middle of its texts taken out, so that it costs at most ``cap`` tokens."""
    cost, parts = _cost(message, form), form.parts(message)
    if cost <= cap or not parts:
        return message
    room = max(4, cap - (cost - estimate_tokens(form.text(message))))
    return form.with_parts(message, [shorten(part, room // len(parts)) for part in parts])


def _with_note(message: Message, form: Form[Message]) -> Message:
    return form.with_parts(message, [f"{form.text(message)}\n{MARK}"]) if form.is_plain(message) else message


def shorten(text: str, tokens: int) -> str:
    """The head and the tail of a text, about two to one, with ``MARK`` between, within ``tokens``."""
    if estimate_tokens(text) <= tokens:
        return text
    room = max(0, tokens - estimate_tokens(f"\n{MARK}\n"))
    head, tail = _prefix(text, room * 2 // 3), _prefix(text[::-1], room - room * 2 // 3)[::-1]
    return f"{head.rstrip()}\n{MARK}\n{tail.lstrip()}"


def _prefix(text: str, tokens: int) -> str:
    """The longest beginning of ``text`` that costs at most ``tokens``."""
    low, high = 0, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        if estimate_tokens(text[:middle]) <= tokens:
            low = middle
        else:
            high = middle - 1
    return text[:low]
