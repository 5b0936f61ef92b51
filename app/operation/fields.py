"""What is wrong with what an administrator has entered, field by field."""

from __future__ import annotations

from collections.abc import Mapping

from app.errors import InvalidPayload


class InvalidFields(InvalidPayload):
    """Some fields are no good; nothing has changed.

    :param fields: a sentence for each of them; never what was entered.
    """

    def __init__(self, fields: Mapping[str, str]) -> None:
        super().__init__("; ".join(f"{name}: {sentence}" for name, sentence in fields.items()))
        self.fields = dict(fields)
