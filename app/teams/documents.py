"""A team's file as a document: JSON or YAML, with the line of each of its fields, so that errors can name it.

Imports no AutoGen: the web process reads files.
"""

from __future__ import annotations

import json
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

SUFFIXES = (".json", ".yaml", ".yml")
MAX_FILE_BYTES = 2_000_000
MAX_YAML_BYTES = 500_000
"""YAML takes seconds for a megabyte, and so does looking for a line: errors of longer JSON files name none."""
MAX_DEPTH = 100
"""Levels of lists and objects within one another. Whoever walks through a document calls itself at each of them."""

_TOO_DEEP = f"it is nested too deeply: at most {MAX_DEPTH} levels"
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class TeamFileError(ValueError):
    """A team's file cannot be used. The message says where and why; it never quotes a value of the file."""


@dataclass
class Document:
    """What a file says. ``text`` is kept to find lines in."""

    path: Path
    text: str
    value: Any

    @cached_property
    def _root(self) -> Any:
        if len(self.text) > MAX_YAML_BYTES:
            return None
        try:
            return yaml.compose(self.text, Loader=_Loader)
        except yaml.YAMLError:
            return None  # JSON that is no YAML, by its tabs for example

    def line_of(self, location: Sequence[str | int]) -> int | None:
        """The line of a field, or of the nearest one around it that is there; None where it cannot be told."""
        node = self._root
        for part in location:
            found = _child(node, part)
            if found is None:
                break
            node = found
        return None if node is None else int(node.start_mark.line) + 1

    def problem(self, location: Sequence[str | int], what: str) -> str:
        """``line 7, agents[1].prompt: what``."""
        line = self.line_of(location)
        parts = [f"line {line}" if line else "", dotted(location)]
        where = ", ".join(part for part in parts if part)
        return f"{where}: {what}" if where else what


def dotted(location: Sequence[str | int]) -> str:
    """``agents[1].prompt``."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location)
    return text.removeprefix(".")


def read_document(path: Path) -> Document:
    """Read a JSON or YAML file, whichever its name says.

    :raises TeamFileError: it cannot be read, is larger than ``MAX_FILE_BYTES`` (YAML: ``MAX_YAML_BYTES``),
        deeper than ``MAX_DEPTH``, or malformed.
    """
    is_json = path.suffix.lower() == ".json"
    limit_bytes = MAX_FILE_BYTES if is_json else MAX_YAML_BYTES
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise TeamFileError("it is no file that can be read")  # a pipe would wait for ever
        if status.st_size > limit_bytes:
            raise TeamFileError(f"it is larger than {limit_bytes:,} bytes")
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise TeamFileError(f"it is not UTF-8: byte {error.start}") from None
    except OSError as error:
        raise TeamFileError(f"it cannot be read: {error.strerror or error}") from None
    value = _json(text) if is_json else _yaml(text)
    if not isinstance(value, dict | list) or not value:
        raise TeamFileError("it is empty" if not value else "an object with fields is needed")
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise TeamFileError(r"it holds half of a character, as in \ud83d without what follows it") from None
    return Document(path, text, value)


def _json(text: str) -> Any:
    if not text.strip():
        return None
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise TeamFileError(f"line {error.lineno}, column {error.colno}: it is no JSON: {error.msg}") from None
    except ValueError:  # a number of thousands of digits
        raise TeamFileError("it is no JSON that can be read") from None
    except RecursionError:
        raise TeamFileError(_TOO_DEEP) from None
    if _depth(value) > MAX_DEPTH:
        raise TeamFileError(_TOO_DEEP)
    return value


def _yaml(text: str) -> Any:
    try:
        _refuse_what_unfolds(text)
        return json.loads(json.dumps(yaml.load(text, Loader=_Loader)))  # noqa: S506  # it is a safe loader
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise TeamFileError(f"{where}it is no YAML: {error.problem or error.context}") from None
    except TeamFileError:
        raise
    except TypeError:  # YAML knows more than JSON, and what is checked must be what is loaded
        raise TeamFileError("a date, or something else that JSON does not have: put it into quotes") from None
    except (yaml.YAMLError, ValueError) as error:  # a character that may not be there, a date that is none
        raise TeamFileError(f"it is no YAML: {str(error).splitlines()[0]}") from None


def _refuse_what_unfolds(text: str) -> None:
    """A few lines of references to references would unfold to gigabytes, thousands of levels take libyaml minutes."""
    depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        if isinstance(event, yaml.AliasEvent):
            raise TeamFileError(f"line {event.start_mark.line + 1}: references (*{event.anchor}) are not supported")
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH:
            raise TeamFileError(f"line {event.start_mark.line + 1}: {_TOO_DEEP}")


def _depth(value: Any) -> int:
    """Levels of lists and objects; counting ends behind ``MAX_DEPTH``."""
    depth, level = 0, [value]
    while depth <= MAX_DEPTH and (level := [each for each in level if isinstance(each, dict | list)]):
        depth += 1
        level = [inner for each in level for inner in (each.values() if isinstance(each, dict) else each)]
    return depth


def _child(node: Any, part: str | int) -> Any:
    if isinstance(node, yaml.MappingNode):
        return next((value for key, value in node.value if getattr(key, "value", None) == part), None)
    if isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
        return node.value[part]
    return None
