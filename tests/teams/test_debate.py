"""What becomes of the closing call's reply."""

from __future__ import annotations

import pytest

from app.adapters.plan import Closing
from app.teams.debate import read_minutes


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (
            '{"consensus": "They all agree.", "summary": "One said this,\\n the other that."}',
            Closing("They all agree.", "One said this, the other that."),
        ),
        ('```json\n{"consensus": "They all agree.", "summary": ""}\n```', Closing("They all agree.", None,
         "the model gave no summary")),
        ('{"consensus": "x", "summary": 7}', Closing(reason="the model gave no consensus and no summary")),
        ('{"consensus": "[1] 2385", "summary": "2 [3] 4 . 5"}',
         Closing(reason="the model gave no consensus and no summary")),
        ("They agree.", Closing(reason="the model made no readable conclusion")),
        ('{"consensus": "They', Closing(reason="the model gave no consensus and no summary")),
        (
            '{"consensus": "They all agree.", "summary": "One said this. The other tha',
            Closing("They all agree.", "One said this."),
        ),
        ('{"consensus": "They all agree on it"}', Closing("They all agree on it", None, "the model gave no summary")),
        ('{"consensus": broken}', Closing(reason="the model made no readable conclusion")),
        ("[]", Closing(reason="the model made no readable conclusion")),
        ("", Closing(reason="the model made no readable conclusion")),
    ],
)  # fmt: skip
def test_minutes(content: str, expected: Closing) -> None:
    """Empty and garbled parts are null, with a reason."""
    assert read_minutes(content) == expected
