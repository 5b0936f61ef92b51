"""A conversation's snapshot in AG-UI's words: the thread's messages, and the state that is shared with the page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ag_ui.core import (
    AssistantMessage,
    FunctionCall,
    Message,
    SystemMessage,
    TextPart,
    ToolCall,
    ToolMessage,
    UserMessage,
)

from app.protocol.snapshot import Snapshot

KEY = "colloquy"
"""Where our facts lie in AG-UI's ``metadata``: the log's ``epoch`` and ``offset``, and what AG-UI has no field for."""

STATE_KEY = "conversation"
"""Where the conversation lies in AG-UI's state; the rest of the state is the page's own and stays as it was sent."""

_EVENTS = {"messages", "tool_calls", "charts", "pending_inputs", "queued"}
_NOT_STATE = _EVENTS | {"epoch", "offset", "content_type", "created_at"}
_STATE_FIELDS = tuple(name for name in Snapshot.model_fields if name not in _NOT_STATE)
MESSAGE_FACTS = ("content_type", "confidence", "usage", "model", "reason", "truncated", "cut_off", "demo")


def state_of(snapshot: Mapping[str, Any]) -> dict[str, Any]:
    """The shared state: the snapshot without its messages, tool calls, charts, inputs and queue, which are events."""
    return {name: snapshot[name] for name in _STATE_FIELDS}


def result_id(call_id: str) -> str:
    """The id of the tool message that a call's result becomes."""
    return f"{call_id}-result"


def messages_of(snapshot: Mapping[str, Any], names: Mapping[str, str]) -> list[Message]:
    """The thread's messages and tool calls, in the order in which they began.

    :param names: our message id → the id under which the client has sent this message.
    """
    begun = [(view["timestamp"], [_message(view, names)]) for view in snapshot["messages"]]
    begun += [(call["timestamp"], _tool_messages(call)) for call in snapshot["tool_calls"]]
    return [message for _, messages in sorted(begun, key=lambda each: each[0]) for message in messages]


def _message(view: Mapping[str, Any], names: Mapping[str, str]) -> Message:
    facts = {name: view[name] for name in MESSAGE_FACTS if view[name] not in (None, False)}
    metadata = {KEY: {**facts, "state": view["state"]}}
    if view["role"] == "user":
        own = names.get(view["message_id"], view["message_id"])
        return UserMessage(id=own, content=view["content"], metadata=metadata)
    if view["role"] == "system":
        return SystemMessage(id=view["message_id"], content=view["content"], name=view["agent"], metadata=metadata)
    return AssistantMessage(id=view["message_id"], content=view["content"], name=view["agent"], metadata=metadata)


def _tool_messages(call: Mapping[str, Any]) -> list[Message]:
    asked = ToolCall(id=call["call_id"], function=FunctionCall(name=call["tool"], arguments=call["arguments"]))
    found: list[Message] = [AssistantMessage(id=call["call_id"], name=call["agent"], tool_calls=[asked])]
    if call["success"] is not None:
        metadata = {KEY: {"success": call["success"]}}
        found.append(
            ToolMessage(
                id=result_id(call["call_id"]), tool_call_id=call["call_id"], content=call["preview"], metadata=metadata
            )
        )
    return found


def text_of(message: Message) -> str | None:
    """The text of a message that consists of nothing else; None for one that holds other parts."""
    content = getattr(message, "content", None)
    if content is None or isinstance(content, str):
        return content or ""
    if isinstance(content, list) and all(isinstance(part, TextPart) for part in content):
        return "\n".join(part.text for part in content)
    return None
