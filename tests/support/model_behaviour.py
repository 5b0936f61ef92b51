"""What the scripted model does with a request: one table of behaviours, chosen by the model's name or by control.

The behaviour of a request is built in this order, later wins: the defaults · what ``POST /control`` set for all
models · the preset that the model's name begins with · what ``POST /control`` set for this very name · the options in
the name itself, as in ``scripted?tokens=100&markers=1``.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, get_type_hints
from urllib.parse import parse_qsl

Death = Literal["reset", "eof", "close", "error"]
Refusal = Literal["", "context_overflow", "content_policy"]


@dataclass(frozen=True, slots=True)
class Behaviour:
    """How one request is answered. Delays are in milliseconds; -1 means never, or no limit."""

    tokens: int = 40  #: length of a reply, in deltas
    token_delay_ms: float = 20.0  #: between two deltas; 0: as fast as the socket takes them
    first_token_delay_ms: float = 0.0  #: before the first delta
    markers: bool = False  #: each delta is `@` + 13 digits (monotonic microseconds, rising) + `#` + its number from 0
    text: str = ""  #: the reply, word by word, instead of numbered words; its length wins over ``tokens``
    odd: str = ""  #: a seed: the reply is odd text, made of it and of the request's number, in ``tokens`` pieces
    piece_bytes: int = 0  #: fill each delta up to this length
    stream: bool = True  #: false: answer whole even where a stream was asked for
    usage: bool = True  #: whether token counts are given (in a stream: where they were asked for)
    finish_reason: str = "stop"
    structured: bool = True  #: whether a JSON schema is obeyed
    consensus: str = "They agree to disagree."
    summary: str = "Three agents have argued."
    structured_delay_ms: float = 0.0  #: before the answer to a request that is bound to a JSON schema

    calls: str = (
        ""  #: tools that it calls before it says anything, by commas, where they are offered and none has answered
    )
    call_arguments: str = "{}"  #: JSON, for each of them

    beside: str = ""  #: what it says beside its calls
    thought: str = ""  #: what it thinks before it answers (``reasoning_content``), word by word
    json: str = ""  #: the answer to a request that is bound to a JSON schema, instead of the simplest that fits
    rules: str = ""  #: JSON: a list of {"when": …, "seen": …, fields that hold for it}; see ``by_rules``

    status: int = 200  #: an error status instead of a reply: 401, 403, 404, 429, 500, 503 …
    refusal: Refusal = ""  #: a 400 of this kind instead of a reply
    retry_after_s: float = -1.0  #: the header ``Retry-After``, where it is not negative
    failures: int = -1  #: how many requests fail (status, refusal, death, silence) before it answers; -1: all

    die_after_tokens: int = -1  #: break off after so many deltas
    #: reset: RST · eof: a clean end without [DONE] · close: FIN inside the chunked body · error: an error event
    death: Death = "reset"
    silent: bool = False  #: accept the request and never answer
    silent_after_tokens: int = -1  #: fall silent in mid-stream, the connection stays open
    models_silent: bool = False  #: ``GET /v1/models`` is never answered (with ``silent``: an unreachable backend)
    models_status: int = 200


TYPES = get_type_hints(Behaviour)
FIELDS = tuple(field.name for field in fields(Behaviour))

PRESETS: dict[str, dict[str, Any]] = {
    "scripted": {},
    "slow": {"token_delay_ms": 500.0, "first_token_delay_ms": 3_000.0},
    "silent": {"silent": True},
    "unreachable": {"silent": True, "models_silent": True},
    "stalling": {"silent_after_tokens": 5},
    "flood": {"tokens": 12_500, "token_delay_ms": 0.0, "piece_bytes": 4_000, "markers": True},
    "die-reset": {"die_after_tokens": 5, "death": "reset"},
    "die-eof": {"die_after_tokens": 5, "death": "eof"},
    "die-error": {"die_after_tokens": 5, "death": "error"},
    "die-close": {"die_after_tokens": 5, "death": "close"},
    "no-usage": {"usage": False},
    "no-stream": {"stream": False},
    "context-overflow": {"refusal": "context_overflow"},
    "content-policy": {"refusal": "content_policy"},
    "status-401": {"status": 401},
    "status-403": {"status": 403},
    "status-404": {"status": 404},
    "status-429": {"status": 429, "retry_after_s": 20.0},
    "status-500": {"status": 500},
    "status-503": {"status": 503},
    "status-529": {"status": 529},
}


class BehaviourError(ValueError):
    """A control request or a model's name has an unknown option, or a value of the wrong type."""


def parse_options(options: dict[str, Any]) -> dict[str, Any]:
    """Check option names and turn strings into the field's type.

    :raises BehaviourError: naming the option that is wrong.
    """
    parsed: dict[str, Any] = {}
    for name, value in options.items():
        if name not in TYPES:
            raise BehaviourError(f"{name!r} is no option of the scripted model; it knows {', '.join(FIELDS)}")
        try:
            parsed[name] = _convert(TYPES[name], value)
        except (TypeError, ValueError) as error:
            raise BehaviourError(f"{name}: {value!r} is not usable: {error}") from None
    return parsed


class Script:
    """The behaviours of all models, and what control has changed. One per server process."""

    def __init__(self) -> None:
        self._for_all: dict[str, Any] = {}
        self._for_model: dict[str, dict[str, Any]] = {}
        self._failed: dict[str, int] = {}

    def control(self, options: dict[str, Any], *, model: str | None = None, reset: bool = False) -> None:
        """Change what models do from now on.

        :param model: the exact model name that this is for; None: all models.
        :param reset: forget every earlier change first.
        """
        parsed = parse_options(options)
        if reset:
            self._for_all, self._for_model = {}, {}
        self._failed.clear()
        if model is None:
            self._for_all |= parsed
        else:
            self._for_model.setdefault(model, {}).update(parsed)

    def behaviour_of(self, model: str) -> Behaviour:
        """What the model of this name does, without counting a request."""
        preset, _, inline = model.partition("?")
        options = dict(self._for_all) | PRESETS.get(preset, {}) | self._for_model.get(model, {})
        options |= parse_options(dict(parse_qsl(inline)))
        return Behaviour(**options)

    def next_behaviour(self, model: str) -> Behaviour:
        """What the next request of this model meets: without its failure, once that has happened often enough."""
        behaviour = self.behaviour_of(model)
        if behaviour.failures < 0:
            return behaviour
        self._failed[model] = self._failed.get(model, 0) + 1
        if self._failed[model] <= behaviour.failures:
            return behaviour
        return replace(behaviour, status=200, refusal="", die_after_tokens=-1, silent=False, silent_after_tokens=-1)


def by_rules(behaviour: Behaviour, asked: str, seen: str) -> Behaviour:
    """The behaviour that the first fitting rule makes of it; the same where none fits.

    :param asked: the text of the request's last message, in which a rule's ``when`` must stand.
    :param seen: the text of all of them, in which its ``seen`` must.
    """
    for rule in json.loads(behaviour.rules or "[]"):
        given = dict(rule)
        if given.pop("when", "") in asked and given.pop("seen", "") in seen:
            return replace(behaviour, **parse_options(given))
    return behaviour


def _convert(kind: Any, value: Any) -> Any:
    if kind is bool:
        if isinstance(value, str):
            return value.lower() in ("1", "true", "yes", "on")
        return bool(value)
    if kind in (int, float):
        return kind(value)
    choices = getattr(kind, "__args__", ())
    if choices and value not in choices:
        raise ValueError(f"one of {', '.join(map(repr, choices))} is wanted")
    return str(value)
