"""What is sent to a model fits its context, and shows where something was left out."""

from __future__ import annotations

import pytest
from autogen_core import FunctionCall
from autogen_core.models import (
    AssistantMessage,
    FunctionExecutionResult,
    FunctionExecutionResultMessage,
    LLMMessage,
    SystemMessage,
    UserMessage,
)
from hypothesis import given
from hypothesis import strategies as st

from app.errors import ModelRejected
from app.providers.autogen_form import AUTOGEN
from app.providers.condense import MARK, condense, estimate_tokens, prompt_budget, shorten
from app.runner.wire import ProviderSpec

LOCAL = ProviderSpec(name="local", kind="local", model="m", context_tokens=2048, max_reply_tokens=220)


def cost(messages: list[LLMMessage]) -> int:
    return sum(estimate_tokens(str(message.content)) for message in messages)


@given(st.lists(st.text(max_size=3000), min_size=1, max_size=12), st.integers(200, 2000))
def test_it_always_fits(texts: list[str], budget: int) -> None:
    """Whatever was said; the instructions and the newest message are always there."""
    system = SystemMessage(content="Be brief.")
    messages: list[LLMMessage] = [system, *(UserMessage(content=text, source="user") for text in texts)]
    fitting, condensed = condense(messages, budget, AUTOGEN)
    assert cost(fitting) <= budget
    assert system in fitting
    if condensed:
        assert any(MARK in str(message.content) for message in fitting)
    else:
        assert fitting == messages


def test_a_long_article_keeps_head_and_tail() -> None:
    """64 KB in a context of 2,048 tokens."""
    article = "HEAD " + "word " * 13_000 + " TAIL"
    [system, task], condensed = condense(
        [SystemMessage(content="s"), UserMessage(content=article, source="user")], prompt_budget(LOCAL), AUTOGEN
    )
    assert condensed
    content = str(task.content)
    assert content.startswith("HEAD")
    assert content.endswith("TAIL")
    assert MARK in content
    assert len(content) > 3000
    assert system.content == "s"


def test_tool_results_stay_with_their_calls() -> None:
    """A dropped call takes its results along: no provider accepts results without one."""
    messages: list[LLMMessage] = [UserMessage(content="task", source="user")]
    for number in range(20):
        messages += [
            AssistantMessage(content=[FunctionCall(id=str(number), name="f", arguments="{}")], source="a"),
            FunctionExecutionResultMessage(
                content=[FunctionExecutionResult(content="x" * 300, call_id=str(number), name="f", is_error=False)]
            ),
        ]
    fitting, condensed = condense(messages, 800, AUTOGEN)
    assert condensed
    kinds = [type(message) for message in fitting[1:]]
    assert kinds
    assert kinds == [AssistantMessage, FunctionExecutionResultMessage] * (len(kinds) // 2)


def test_instructions_alone_too_long() -> None:
    """Nothing can be condensed then: a typed error."""
    with pytest.raises(ModelRejected) as caught:
        condense([SystemMessage(content="word " * 1000), UserMessage(content="hi", source="user")], 200, AUTOGEN)
    assert caught.value.error_code == "context_overflow"


def test_short_texts_stay() -> None:
    """No mark without need."""
    assert shorten("short", 100) == "short"


def test_figures_and_other_scripts_count_more() -> None:
    """A small vocabulary spends a token on each digit, several on a character of another script."""
    assert estimate_tokens("1234567890") == 10
    assert estimate_tokens("漢字") == 6
    assert estimate_tokens("a" * 30) == 10
