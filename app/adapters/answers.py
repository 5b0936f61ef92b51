"""What an agent hears of a person's answer, or of there being none."""

from __future__ import annotations

from app.runner.wire import Answer

NO_ANSWER = {
    "timeout": "No answer: nobody has answered in time. Go on without it.",
    "granted": "Yes.",
    "denied": "No.",
    "cancelled": "No answer: the question was withdrawn. Go on without it.",
}


def words_of(answer: Answer) -> str:
    """The answer to a question; in words, why there is none."""
    return answer.content if answer.resolution == "answered" else answer.content or NO_ANSWER[answer.resolution]
