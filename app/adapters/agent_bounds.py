"""Whatever a tool of autogen-agentchat's AssistantAgent raises is an answer that tells of it; an agent's own, an error.

AutoGen does so for an ``Exception``, in a tool that is a function. What a workbench raises, or what is no ``Exception``
(some libraries have such for their aborts, ``sys.exit`` raises one), ends the task that it is raised in, and the team
waits for ever. Halves of characters, as odd names of files have, could not be sent to any model.
"""

from __future__ import annotations

import asyncio
from typing import Any

from autogen_agentchat.agents import AssistantAgent
from autogen_agentchat.teams._group_chat._sequential_routed_agent import SequentialRoutedAgent
from autogen_core import CancellationToken, FunctionCall, MessageContext
from autogen_core.models import FunctionExecutionResult

from app.protocol.common import whole_characters
from app.providers.gate import RunAborted
from app.providers.tool_words import FAILED

_execute = AssistantAgent._execute_tool_call
_on_message = SequentialRoutedAgent.on_message_impl


async def _answered(
    *, tool_call: FunctionCall, cancellation_token: CancellationToken, **more: Any
) -> tuple[FunctionCall, FunctionExecutionResult]:
    try:
        call, result = await _execute(tool_call=tool_call, cancellation_token=cancellation_token, **more)
        return call, result.model_copy(update={"content": whole_characters(result.content)})
    except RunAborted:
        raise
    except BaseException as error:  # a user's tool may raise anything
        task = asyncio.current_task()
        if isinstance(error, asyncio.CancelledError) and (
            cancellation_token.is_cancelled() or (task is not None and task.cancelling())
        ):
            raise  # it was not the tool
        told = f"{FAILED}{tool_call.name} failed: {type(error).__name__}"
        return tool_call, FunctionExecutionResult(
            content=told, call_id=tool_call.id, is_error=True, name=tool_call.name
        )


async def _worked(self: SequentialRoutedAgent, message: Any, ctx: MessageContext) -> Any:
    """The work of an agent, or of those who choose the next one."""
    try:
        return await _on_message(self, message, ctx)
    except (Exception, asyncio.CancelledError):
        raise
    except BaseException as error:  # a user's agent may raise anything
        raise RuntimeError(f"it has raised {type(error).__name__}") from error


def contain_agents() -> None:
    """For all agents of this process, those of users' own classes included. More than once is no error."""
    SequentialRoutedAgent.on_message_impl = _worked  # type: ignore[method-assign]
    AssistantAgent._execute_tool_call = staticmethod(_answered)  # type: ignore[assignment,method-assign]
