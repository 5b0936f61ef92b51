"""Reads a request's JSON body into its model."""

from __future__ import annotations

from typing import Any, TypeVar

from flask import request
from pydantic import BaseModel, ValidationError

from app.errors import InvalidPayload
from app.protocol.common import sentence_of

Model = TypeVar("Model", bound=BaseModel)


def parse_body(model: type[Model]) -> Model:
    """The body of the present request. :raises InvalidPayload: as :func:`parse` does."""
    try:
        value = request.get_json(silent=True)
    except RecursionError:
        raise InvalidPayload("the body is nested too deeply") from None
    return parse(model, value)


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
