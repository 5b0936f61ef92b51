"""What becomes of the closing call's reply."""

from __future__ import annotations

import json

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


def test_a_conclusion_that_only_echoes_the_request_is_none() -> None:
    """A small model may give back the words that it was asked with."""
    said = '{"consensus": "What all of them agree on, in one sentence.", "summary": "Rates fall and banks earn less."}'
    closing = read_minutes(said)
    assert closing.consensus is None
    assert closing.summary == "Rates fall and banks earn less."
    assert closing.reason == "the model gave no consensus"


@pytest.mark.parametrize(
    "said",
    [
        "他们都同意利率应该下降。",
        "分析师看好，市场认可，风险可控，增长3.5%。",
        "The margin will rise by 3.5% (with some risk)",
        "They all agree on Apple Inc. and its value, more or less",
    ],
)
def test_a_whole_conclusion_is_passed_on_whole(said: str) -> None:
    """Whatever its script, and wherever it has a point."""
    assert read_minutes(json.dumps({"consensus": said, "summary": said})) == Closing(said, said)
