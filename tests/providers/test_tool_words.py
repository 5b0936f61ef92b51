"""Tools in words: what a model is asked, and what is made of its reply."""

from __future__ import annotations

from typing import Any

import pytest

from app.providers import tool_words as words
from app.providers.tool_words import OfferedTool

STRING = {"type": "string"}
PRICES = OfferedTool(
    "prices",
    "Prices of a share.",
    {
        "type": "object",
        "properties": {
            "symbol": {**STRING, "title": "Symbol", "description": "the share's symbol"},
            "since": {**STRING, "default": "", "description": "years"},
            "until": {**STRING, "default": "", "description": "years"},
        },
        "required": ["symbol"],
    },
)
TOOL: dict[str, Any] = {"type": "function", "function": {"name": "prices", "parameters": dict(PRICES.parameters)}}
CALL = {
    "role": "assistant",
    "content": None,
    "tool_calls": [
        {"id": "c1", "type": "function", "function": {"name": "prices", "arguments": '{"symbol": "AAPL"}'}},
    ],
}
RESULT = {"role": "tool", "tool_call_id": "c1", "content": "AAPL rose."}
ASK = {"role": "user", "content": "How is Apple?"}
SYSTEM = {"role": "system", "content": "Be brief."}


def test_questions_name_what_can_be_chosen() -> None:
    """Parameters of the same meaning share a line; a schema's texts have an end."""
    assert words.tool_question([PRICES]).splitlines()[1] == "prices: Prices of a share."
    assert words.arguments_question(PRICES) == (
        "Read the arguments of the function prices(symbol, since, until) from the question. "
        "symbol: the share's symbol. since, until: years."
    )
    schema = words.arguments_schema(PRICES)
    assert schema["properties"]["symbol"] == {"type": "string", "maxLength": words.MAX_ARGUMENT_CHARS}
    assert (schema["required"], schema["additionalProperties"]) == (["symbol"], False)


@pytest.mark.parametrize(
    ("wishes", "names"),
    [
        ({}, ["prices"]),
        ({"tool_choice": "none"}, []),
        ({"tool_choice": {"type": "function", "function": {"name": "prices"}}}, ["prices"]),
        ({"tool_choice": {"type": "function", "function": {"name": "other"}}}, []),
        ({"messages": [ASK, CALL, RESULT]}, []),
        ({"messages": [ASK, CALL, RESULT, ASK]}, ["prices"]),
    ],
)
def test_what_is_offered(wishes: dict[str, Any], names: list[str]) -> None:
    """Not what the request forbids, and nothing after so many rounds since somebody has spoken."""
    asked = {"messages": [ASK], "tools": [TOOL], **wishes}
    assert [tool.name for tool in words.offered(asked, 1)] == names


def test_calls_and_results_are_shown_as_text() -> None:
    """In their place, or before all that was said."""
    shown = words.plain([SYSTEM, ASK, CALL, RESULT])
    assert shown == [SYSTEM, ASK, {"role": "user", "content": "prices(symbol=AAPL) answered:\nAAPL rose."}]
    assert words.plain([SYSTEM, ASK, CALL, RESULT], results_first=True) == [shown[0], shown[2], shown[1]]
    spoken = {**CALL, "content": "I look."}
    assert words.plain([spoken, RESULT])[0] == {"role": "assistant", "content": "I look."}


def test_a_text_of_the_conversation_is_bounded() -> None:
    """It loses its middle."""
    long = {"role": "user", "content": "word " * 5000}
    assert len(words.context([SYSTEM, long, RESULT], "a", 100)) < 600
    assert words.context([ASK, {"role": "assistant", "content": "Well."}], "my_agent", 100) == (
        "How is Apple?\n\nmy agent: Well."
    )


@pytest.mark.parametrize(
    ("reply", "found"),
    [
        ('{"tool": "prices"}', {"tool": "prices"}),
        ('Sure! ```json\n{"tool": "prices"}\n```', {"tool": "prices"}),
        ('{"symbol": "AAP', {"symbol": "AAP"}),
        ("none", {}),
        ("[1]", {}),
        ('{"a": }', {}),
    ],
)
def test_replies_are_read_as_far_as_they_go(reply: str, found: dict[str, Any]) -> None:
    """Never raises."""
    assert words.read_object(reply) == found


def test_arguments_are_repaired() -> None:
    """Into the tool's types; what it does not know is left out."""
    kinds = {"n": {"type": "integer"}, "names": {"type": "array"}, "text": STRING, "rest": {"type": "integer"}}
    tool = OfferedTool("t", parameters={"properties": kinds})
    given = {"n": "7", "names": "a, b", "text": ["x", 1], "rest": "?", "odd": 1}
    assert words.repaired(tool, given) == {"n": 7, "names": ["a", "b"], "text": "x, 1", "rest": "?"}


@pytest.mark.parametrize(
    ("given", "text", "kept"),
    [
        ({"symbol": "Apple", "since": "2008", "until": "2018"}, "Apple in 2008?", {"symbol": "Apple", "since": "2008"}),
        ({"symbol": "AAPL"}, "Hello, who are you?", None),
        ({"symbol": "AAPL", "since": "2001-01-01"}, "Apple since 2001", {"symbol": "Apple", "since": "2001-01-01"}),
        ({"symbol": "JBIMA"}, "What about IBM?", {"symbol": "IBM"}),
        ({"symbol": "AAPL, MSFT"}, "AAPL and MSFT, please", {"symbol": "AAPL, MSFT"}),
        ({"symbol": "the share's symbol or NA"}, "Sell the share", None),
        ({"symbol": ""}, "Sell", None),
    ],
)
def test_what_nobody_has_said_is_invented(given: dict[str, Any], text: str, kept: dict[str, Any] | None) -> None:
    """Optional arguments are left out; without a required one nothing was asked of the tool."""
    assert words.said_arguments(PRICES, given, text) == kept


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("How did IBM and Apple do?", ["IBM", "Apple"]),
        ("IBM, or Apple? Apple!", ["IBM", "Apple"]),
        ("Ann: Sell Amazon.\n\nWhat about the Gap?", ["Gap"]),
        ("What is a bond? Tell me.", None),
    ],
)
def test_a_question_names_somebody(text: str, names: list[str] | None) -> None:
    """What begins a sentence is no name, nor what was said before."""
    schema = words.naming_schema(PRICES, text)
    assert (schema and schema["properties"]) == (names and {"symbol": {"type": "string", "enum": names}})
    assert words.naming_schema(words.OfferedTool("news"), text) is None


def test_failures_are_those_of_all_the_last_calls() -> None:
    """One that has answered is enough to speak of."""
    failed = {**RESULT, "content": f"{words.FAILED}no such share"}
    assert words.failures([ASK, CALL, failed]) == ["no such share"]
    assert words.failures([ASK, CALL, failed, RESULT]) == words.failures([ASK]) == words.failures([failed, ASK]) == []


def test_a_call_is_known_again() -> None:
    """By its name and arguments."""
    assert words.called_before([ASK, CALL], "prices", {"symbol": "AAPL"})
    assert not words.called_before([ASK, CALL], "prices", {"symbol": "MSFT"})
