"""Reads a request's JSON body into its model."""

from __future__ import annotations

from typing import Any, TypeVar

from flask import request
from pydantic import BaseModel, ValidationError
from werkzeug.exceptions import BadRequest, UnsupportedMediaType

from app.errors import InvalidPayload
from app.protocol.common import sentence_of

Model = TypeVar("Model", bound=BaseModel)

_TIMES = ("since", "until")


def parse_body(model: type[Model]) -> Model:
    """The body of the present request.

    :raises InvalidPayload: as :func:`parse` does, and where it is no JSON.
    :raises RequestEntityTooLarge:
    """
    _body()
    try:
        value = request.get_json()
    except UnsupportedMediaType:
        raise InvalidPayload("the body has to be JSON, with the header `Content-Type: application/json`") from None
    except BadRequest:
        raise InvalidPayload("the body is no JSON") from None
    except RecursionError:
        raise InvalidPayload("the body is nested too deeply") from None
    return parse(model, value)


def parse_query(model: type[Model]) -> Model:
    """The parameters of the present request's address; others than the model's are left alone. An empty text is none,
    where there may be none; an empty time or number is refused.

    :raises InvalidPayload: as :func:`parse` does.
    """
    given = {name: value for name in model.model_fields if (value := request.args.get(name)) is not None}
    for name, value in given.items():
        if "\0" in value:
            raise InvalidPayload(f"{name}: NUL is no character")
        if name in _TIMES:
            given[name] = value.replace(" ", "+")  # an unescaped zone
    found = parse(model, given)
    empty = [name for name in given if getattr(found, name) == "" and model.model_fields[name].get_default() is None]
    return found.model_copy(update=dict.fromkeys(empty)) if empty else found


def parse_optional_body(model: type[Model]) -> Model:
    """The same as :func:`parse_body`, of a request that may do without one."""
    return parse_body(model) if _body() else parse(model, {})


def _body() -> bytes:
    """All of it. :raises RequestEntityTooLarge: Werkzeug alone would cut off what comes in chunks at the limit."""
    body = request.get_data()
    request.stream.read(1)  # which is behind the limit, where it was reached
    return body


def parse(model: type[Model], value: Any) -> Model:
    """A JSON value as its model.

    :raises InvalidPayload: one sentence on the first thing that is wrong.
    """
    try:
        return model.model_validate(value)
    except RecursionError:
        raise InvalidPayload("the body is nested too deeply") from None
    except ValidationError as error:
        raise InvalidPayload(sentence_of(error)) from None
