"""A confidence is passed on where it was stated, and never invented."""

from __future__ import annotations

import pytest

from app.adapters.confidence import stated_confidence


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("It will rise. Confidence: 0.7", 0.7),
        ("**Confidence:** 70%", 0.7),
        ("Confidence level: 7/10.", 0.7),
        ("Confidence = 85 / 100", 0.85),
        ("My confidence is 60 percent", 0.6),
        ("Confidence: 8 out of 10", 0.8),
        ("Confidence: 1", 1.0),
        ("Confidence: 0,35", 0.35),
        ("confidence of 0.5, later Confidence: 0.9", 0.9),
        ("Confidence: 7", None),
        ("Confidence: 170%", None),
        ("I am very confident of it. It fell by 70%.", None),
        ("Consumer confidence fell to a level of 0.7", None),
        ("", None),
    ],
)
def test_stated_confidence(text: str, expected: float | None) -> None:
    """The last figure with a known scale."""
    assert stated_confidence(text) == expected
