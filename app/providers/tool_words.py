"""Tools in words: how a model that cannot call functions is shown them, asked for them, and understood. No I/O."""

from __future__ import annotations

import difflib
import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from operator import itemgetter
from typing import Any

from pydantic_core import from_json

from app.providers.condense import shorten
from app.providers.forms import Json, OpenAiForm

NONE = "none"
FAILED = "Error: "
"""How the answer of a tool begins that has failed, where it says so."""
MAX_DESCRIPTION_CHARS = 160
MAX_ARGUMENT_CHARS = 80
_FORM = OpenAiForm()
_WORD = re.compile(r"[^\W_]+")
_NAME = re.compile(r"\b[A-Z]{2,}\b|(?<=[\w,;] )[A-Z]\w+")  # IBM anywhere, Apple unless it begins a sentence
MAX_NAMES = 12
_LIKENESS = 0.6  # AAPL is like Apple, BIM like IBM


@dataclass(frozen=True, slots=True)
class OfferedTool:
    """A function as a request offers it. ``parameters``: its JSON schema, an object's."""

    name: str
    description: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)

    @property
    def properties(self) -> dict[str, Any]:
        found = self.parameters.get("properties")
        return found if isinstance(found, dict) else {}

    @property
    def required(self) -> list[str]:
        return [name for name in self.parameters.get("required") or () if name in self.properties]


def speaks_of_tools(asked: Json) -> bool:
    """Whether a request offers tools, or its messages have calls and results in them."""
    return bool(asked.get("tools")) or any(_has_tools(message) for message in asked.get("messages") or ())


def offered(asked: Json, max_rounds: int) -> list[OfferedTool]:
    """The tools that may be called now: none where the request forbids it, or after so many rounds of calls."""
    wish = asked.get("tool_choice") or "auto"
    if wish == NONE or rounds(asked["messages"]) >= max_rounds:
        return []
    tools = [_offered(tool["function"]) for tool in asked.get("tools") or () if isinstance(tool.get("function"), dict)]
    if isinstance(wish, dict):
        wanted = (wish.get("function") or {}).get("name")
        return [tool for tool in tools if tool.name == wanted]
    return tools


def must_call(asked: Json) -> bool:
    """Whether the request leaves no choice but to call a tool."""
    return asked.get("tool_choice") == "required" or isinstance(asked.get("tool_choice"), dict)


def rounds(messages: Sequence[Json]) -> int:
    """How often tools were called since somebody last said something."""
    count = 0
    for message in reversed(messages):
        if message.get("role") == "user":
            break
        count += bool(message.get("tool_calls") or message.get("function_call"))
    return count


def failures(messages: Sequence[Json]) -> list[str]:
    """What the last calls have come to, where all of them have failed and nobody has spoken since."""
    told: list[str] = []
    for message in reversed(messages):
        if not _FORM.is_result(message):
            break
        told.insert(0, _FORM.text(message))
    return [text.removeprefix(FAILED) for text in told] if all(text.startswith(FAILED) for text in told) else []


def called_before(messages: Sequence[Json], name: str, arguments: Mapping[str, Any]) -> bool:
    """Whether this very call stands in the messages."""
    return any(call[:2] == (name, dict(arguments)) for message in messages for call in _calls(message))


def plain(messages: Sequence[Json], *, results_first: bool = False) -> list[Json]:
    """The messages with calls and results as text.

    :param results_first: results stand before all that was said, for a model that reads on from the last line.
    """
    names: dict[str, str] = {}
    systems: list[Json] = []
    said: list[Json] = []
    results: list[Json] = []
    for message in messages:
        for name, arguments, call_id in _calls(message):
            names[call_id] = f"{name}({', '.join(f'{key}={value}' for key, value in arguments.items())})"
        if _FORM.is_result(message):
            call = names.get(str(message.get("tool_call_id") or ""), message.get("name") or "The tool")
            shown = _FORM.request(f"{call} answered:\n{_FORM.text(message)}")
            (results if results_first else said).append(shown)
        elif _FORM.is_system(message):
            systems.append(message)
        elif not _has_tools(message):
            said.append(message)
        elif message.get("content"):
            said.append({key: message[key] for key in ("role", "name", "content") if key in message})
    return [*systems, *results, *said]


def context(messages: Sequence[Json], agent: str, tokens: int) -> str:
    """All that was said and answered, as one text of about so many tokens; over-long ones lose their middle."""
    form = OpenAiForm(agent)
    spoken = [message for message in plain(messages) if not form.is_system(message)]
    lines = [_line(form.speaker(message), form.text(message)) for message in spoken]
    return shorten("\n\n".join(lines), tokens)


def tool_question(tools: Sequence[OfferedTool]) -> str:
    """The system message of the choice."""
    lines = [f"{tool.name}: {_short(tool.description)}" for tool in tools]
    return "\n".join(["Choose the tool for the question. Reply in JSON.", *lines])


def tool_schema(names: Sequence[str]) -> dict[str, Any]:
    """The JSON schema of the choice among these names."""
    return _object({"tool": {"type": "string", "enum": list(names)}}, ["tool"])


def arguments_question(tool: OfferedTool) -> str:
    """The system message for a tool's arguments. One paragraph: small models copy what stands in a list."""
    described = [(_short(_said_of(value)).rstrip("."), name) for name, value in tool.properties.items()]
    said = [
        f"{', '.join(name for _, name in group)}: {sentence}."
        for sentence, group in groupby(described, key=itemgetter(0))
        if sentence
    ]
    signature = f"{tool.name}({', '.join(tool.properties)})"
    return " ".join([f"Read the arguments of the function {signature} from the question.", *said])


def arguments_schema(tool: OfferedTool) -> dict[str, Any]:
    """The JSON schema of a tool's arguments, its texts and lists with an end."""
    properties = {name: _bounded(value) for name, value in tool.properties.items()}
    definitions = {key: tool.parameters[key] for key in ("$defs", "definitions") if key in tool.parameters}
    return {**_object(properties, tool.required), **definitions}


def read_object(text: str) -> dict[str, Any]:
    """The object in a reply, as far as it can be read; empty where there is none."""
    start = text.find("{")
    try:
        document = from_json(text[start:].strip().rstrip("`"), allow_partial="trailing-strings") if start >= 0 else {}
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}


def repaired(tool: OfferedTool, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments that the tool knows, brought into their types where that can be done."""
    kept = {name: value for name, value in arguments.items() if name in tool.properties and value is not None}
    return {name: _as_type(value, tool.properties[name].get("type")) for name, value in kept.items()}


def said_arguments(tool: OfferedTool, arguments: Mapping[str, Any], text: str) -> dict[str, Any] | None:
    """The arguments that the text speaks of: a very small model invents what it was not told.

    Misspelt words become the text's own.

    :returns: None where a required one is invented: then nothing was asked of this tool.
    """
    kept: dict[str, Any] = {}
    for name, value in arguments.items():
        said = _said(value, text)
        if said is not None:
            kept[name] = said
    return None if any(name not in kept for name in tool.required) else kept


def naming_schema(tool: OfferedTool, text: str) -> dict[str, Any] | None:
    """The JSON schema of a tool's required texts, each to be one of the names in the last paragraph of a text.

    :returns: None where it names nothing, or the tool requires something else.
    """
    names = list(dict.fromkeys(_NAME.findall(text.rpartition("\n\n")[2])))[:MAX_NAMES]
    wanted = [tool.properties[name] for name in tool.required]
    if not names or not wanted or any(each.get("type") != "string" or "enum" in each for each in wanted):
        return None
    return _object({name: {"type": "string", "enum": names} for name in tool.required}, tool.required)


def _said(value: Any, text: str) -> Any:
    if isinstance(value, list):
        items = [said for item in value if (said := _said(item, text)) is not None]
        return items or None
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return value
    if not isinstance(value, str):
        return value if str(value) in text else None
    if value.strip() and value.strip().casefold() in text.casefold():
        return value
    parts = [found for part in re.split(r"[,;]", value) if (found := _said_part(part, text))]
    return ", ".join(parts) or None


def _said_part(part: str, text: str) -> str | None:
    """One of several values in a text: a name, in the text's own spelling, or a date whose year is mentioned."""
    words = {word.casefold(): word for word in _WORD.findall(text)}
    tokens = [token.casefold() for token in _WORD.findall(part)]
    if not tokens:
        return None
    if all(token in words for token in tokens) or (tokens[0].isdigit() and tokens[0] in words):
        return part.strip()
    if len(tokens) > 1 or tokens[0].isdigit():
        return None
    likest = difflib.get_close_matches(tokens[0], words, 1, _LIKENESS)
    if not likest:  # JBIMA for IBM: a symbol's letters, in disorder
        symbols = [word.casefold() for word in words.values() if word.isupper() and len(word) > 1]
        likest = [symbol for symbol in symbols if not Counter(symbol) - Counter(tokens[0])]
    return words[likest[0]] if likest else None


def _offered(function: Json) -> OfferedTool:
    parameters = function.get("parameters")
    return OfferedTool(
        name=str(function.get("name") or ""),
        description=str(function.get("description") or ""),
        parameters=parameters if isinstance(parameters, dict) else {},
    )


def _has_tools(message: Json) -> bool:
    return bool(message.get("tool_calls") or message.get("function_call")) or _FORM.is_result(message)


def _calls(message: Json) -> list[tuple[str, dict[str, Any], str]]:
    """Name, arguments and id of each call in a message."""
    found: list[tuple[str, dict[str, Any], str]] = []
    legacy = message.get("function_call")
    for call in [*(message.get("tool_calls") or ()), *([{"function": legacy}] if legacy else [])]:
        function = call.get("function") or {}
        arguments = read_object(str(function.get("arguments") or ""))
        found.append((str(function.get("name")), arguments, str(call.get("id") or "")))
    return found


def _line(speaker: str, text: str) -> str:
    return text if speaker in ("user", "") else f"{speaker.replace('_', ' ')}: {text}"


def _short(text: str) -> str:
    return " ".join(text.split())[:MAX_DESCRIPTION_CHARS]


def _said_of(schema: Any) -> str:
    return str(schema.get("description") or "") if isinstance(schema, dict) else ""


def _object(properties: dict[str, Any], required: Sequence[str]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(required), "additionalProperties": False}


def _bounded(schema: Any) -> Any:
    if not isinstance(schema, dict):
        return schema
    bounded = {key: value for key, value in schema.items() if key not in ("title", "default", "description")}
    if bounded.get("type") == "string" and "enum" not in bounded:
        bounded.setdefault("maxLength", MAX_ARGUMENT_CHARS)
    if bounded.get("type") == "array":
        bounded.setdefault("maxItems", 6)
        bounded["items"] = _bounded(bounded.get("items", {"type": "string"}))
    return bounded


def _as_type(value: Any, kind: Any) -> Any:
    """:param kind: JSON schema's ``type``."""
    if kind == "string" and isinstance(value, list):
        return ", ".join(str(item) for item in value)
    if kind == "string" and not isinstance(value, str):
        return json.dumps(value) if isinstance(value, dict) else str(value)
    if kind == "array" and isinstance(value, str):
        return [part.strip() for part in value.split(",") if part.strip()]
    if kind in ("integer", "number") and isinstance(value, str):
        try:
            return int(value) if kind == "integer" else float(value)
        except ValueError:
            return value
    return value
