"""Shows a conversation in a terminal: the text on standard output, everything about it on standard error."""

from __future__ import annotations

import itertools
import json
import os
import re
from typing import Any

import click

from app.client import Client, ClientEvent, ConversationStream, Happening, Replaced
from app.protocol.common import failed_as
from app.protocol.events import (
    AgentMessage,
    ConversationComplete,
    ConversationError,
    ConversationStatus,
    FallbackMode,
    InputRequest,
    InputResolved,
    MessageDelta,
    MessageQueued,
    MessageReset,
    MessageUnqueued,
    Progress,
    StillWorking,
    ToolCall,
    ToolResult,
)
from app.protocol.snapshot import InputView, MessageView, Snapshot

_COLOURS = ("cyan", "yellow", "magenta", "green", "blue", "bright_red", "bright_cyan", "bright_yellow")
_UNSEEN = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")

_REMEMBERED = 10_000


def harmless(text: str) -> str:
    """What a model wrote, without what would command a terminal: escapes, other controls, changes of direction."""
    return _UNSEEN.sub("\N{REPLACEMENT CHARACTER}", text.replace("\r\n", "\n"))


class JsonLines:
    """One JSON object a line: ``{"name", "payload"}``, as it came over the wire."""

    def show(self, happening: Happening) -> None:
        """Print one line."""
        payload: Any = happening.payload
        if isinstance(happening.body, Replaced):
            state = happening.body.state.model_dump(mode="json", by_alias=True)
            payload = {"reason": happening.body.reason, "snapshot": state}
        self._print(happening.name, payload)

    def say(self, sentence: str, *, warning: bool = False) -> None:
        """A remark for a person: to standard error, so that the lines stay JSON."""
        if warning:
            click.echo(sentence, err=True)

    def summary(self, figures: dict[str, Any], *, history: bool = False) -> None:
        """How it was, as the last line; the list of messages is always in it."""
        self._print("client:summary", figures)

    def end_line(self) -> None: ...

    def _print(self, name: str, payload: Any) -> None:
        click.echo(json.dumps({"name": name, "payload": payload}, ensure_ascii=False))


class Screen:
    """Text as it comes, under each agent's name in a colour of its own.

    :param colour: None: where standard output is a terminal.
    """

    def __init__(self, colour: bool | None = None) -> None:
        self._colour = False if colour is None and os.environ.get("NO_COLOR") else colour
        self._colours = itertools.cycle(_COLOURS)
        self._colour_of: dict[str, str] = {}
        self._shown: dict[str, str] = {}  # of messages that are not whole yet, the text that was printed
        self._whole: dict[str, None] = {}  # the last messages that were printed to their end
        self._current: str | None = None
        self._at_line_start = True
        self._progress = ""

    def show(self, happening: Happening) -> None:
        """Print what is new in an event."""
        match happening.body:
            case Replaced(state=state, reason=reason):
                self._show_state(state, reason)
            case MessageDelta(message_id=message_id, agent=agent, delta=delta):
                self._write(message_id, agent, delta)
            case AgentMessage() as message:
                self._complete(message, partial=message.partial)
            case MessageReset(message_id=message_id, agent=agent, reason=reason):
                self._shown.pop(message_id, None)
                self.say(f"{agent}'s text is withdrawn ({reason}); the turn begins again", warning=True)
            case ConversationStatus() as status:
                model = f" · model {status.model}" if status.model else ""
                self.say(f"{status.status}{model}" + (f" · {status.reason}" if status.reason else ""))
            case ConversationError(error=error, code=code):
                self.say(f"error: {error} ({code})", warning=True)
            case FallbackMode(mode=mode, reason=reason):
                who = "a prepared demo" if mode == "demo" else "another model"
                self.say(f"{who} goes on ({reason})", warning=True)
            case ConversationComplete(consensus=consensus, summary=summary):
                self._outcome(consensus, summary)
            case StillWorking() | Progress() as progress:
                self._show_progress(progress)
            case InputRequest() as request:
                self._show_question(request)
            case InputResolved() as resolved:
                self._show_answer(resolved)
            case MessageQueued(content=content, by=by):
                self.say(f"waits until the agents have finished ({by}): {content}")
            case MessageUnqueued(by=by):
                self.say(f"{by} has taken a message back")
            case ToolCall(agent=agent, tool=tool):
                self.say(f"{agent} calls {tool}")
            case ToolResult(tool=tool, success=True):
                self.say(f"{tool} has answered")
            case ToolResult(tool=tool, code=code):
                self.say(f"{tool} {failed_as(code)}")

    def say(self, sentence: str, *, warning: bool = False) -> None:
        """A remark on standard error, on a line of its own."""
        self.end_line()
        click.secho(harmless(sentence), err=True, color=self._colour, dim=not warning, fg="red" if warning else None)

    def summary(self, figures: dict[str, Any], *, history: bool = False) -> None:
        """Print how it was: connection, messages, errors, uptime; and the list of messages."""
        self.end_line()
        for message in figures["history"] if history else ():
            click.echo(
                harmless(f"{message['timestamp']}  {message['agent']}: {message['characters']} characters")
                + ("" if message["state"] == "complete" else f", {message['state']}")
            )
        uptime = figures["uptime_s"]
        lines = [
            f"conversation {figures['conversation_id']} · {figures['status']}"
            + (f" · {figures['title']!r}" if figures["title"] else ""),  # a reader that begins late is not told it
            f"messages {figures['messages']}, omitted {figures['omitted_messages']}"
            f" · tokens received {figures['tokens']} · errors {figures['errors']}",
            f"connection {figures['connection']}"
            + (f" for {uptime:.0f} s" if uptime is not None else "")
            + f" · {figures['transport'] or 'no transport'} · reconnects {figures['reconnects']}"
            f" · gaps {figures['gaps']} · doubles {figures['duplicates']}"
            + (f" · {figures['latency_ms']:.0f} ms" if figures["latency_ms"] is not None else ""),
            f"position {figures['position']}",
        ]
        for line in lines:
            self.say(line)

    def end_line(self) -> None:
        """Let what follows begin on a new line."""
        if not self._at_line_start:
            click.echo("", color=self._colour)
            self._at_line_start = True
        self._current = None

    # --- messages -----------------------------------------------------------------------------------------------------

    def _show_state(self, state: Snapshot, reason: str) -> None:
        if reason == "joined" and not state.created_at:
            return  # from a position or a time on: nothing is known of what was before
        if reason == "joined":
            self.say(f"{state.title or state.conversation_id} · {state.team or 'no team'} · {state.status}")
            if state.omitted_messages:
                self.say(f"{state.omitted_messages} older messages are no longer kept")
        elif reason == "interrupted":
            self.say("the server no longer knows this conversation: what follows no more was interrupted", warning=True)
        else:
            self.say(f"some of what came meanwhile is shown as it stands now ({reason})")
        for message in state.messages:
            if message.state == "open":
                self._catch_up(message)
            else:
                self._complete(message, partial=message.state == "partial")
        for waiting in state.queued:
            self.say(f"waits until the agents have finished ({waiting.by}): {waiting.content}")
        for request in state.pending_inputs:
            self._show_question(request)
        if state.outcome is not None:
            self._outcome(state.outcome.consensus, state.outcome.summary)

    def _show_question(self, request: InputRequest | InputView) -> None:
        secret = " [what you type is not shown]" if request.secret else ""
        how = " [yes or no]" if request.kind == "permission" else secret
        until = f" (until {request.deadline})" if request.deadline else ""
        self.say(f"{request.agent} asks: {request.prompt}{how}{until}", warning=True)

    def _show_answer(self, resolved: InputResolved) -> None:
        words = {"timeout": "nobody has answered in time", "cancelled": "the question was withdrawn"}
        self.say(words.get(resolved.resolution) or f"{resolved.resolution} by {resolved.by}")

    def _catch_up(self, message: MessageView) -> None:
        shown = self._shown.get(message.message_id, "")
        if not message.content.startswith(shown):
            self._shown.pop(message.message_id)
            self.end_line()
            shown = ""
        self._write(message.message_id, message.agent, message.content[len(shown) :])

    def _complete(self, message: AgentMessage | MessageView, *, partial: bool) -> None:
        message_id, agent, content = message.message_id, message.agent, message.content
        if message_id in self._whole:
            return
        shown = self._shown.pop(message_id, "")
        if not content.startswith(shown):
            self.end_line()
            shown = ""
        self._write(message_id, agent, content[len(shown) :])
        self._shown.pop(message_id, None)
        self._whole[message_id] = None
        if len(self._whole) > _REMEMBERED:
            del self._whole[next(iter(self._whole))]
        self.end_line()
        if message.confidence is not None:
            self.say(f"{agent} is {message.confidence:.0%} confident")
        if message.cut_off:
            self.say(f"{agent} was cut off: a reply may not be longer")
        if partial:
            self.say(f"broke off: {message.reason}", warning=True)

    def _write(self, message_id: str, agent: str, text: str) -> None:
        if self._current != message_id:
            self.end_line()
            if text or message_id not in self._shown:
                more = " (continued)" if self._shown.get(message_id) else ""
                click.secho(harmless(f"{agent}{more}"), bold=True, fg=self._of(agent), color=self._colour)
            self._current = message_id
        if text:
            click.secho(harmless(text), nl=False, fg=self._of(agent), color=self._colour)
            self._at_line_start = text.endswith("\n")
        self._shown[message_id] = self._shown.get(message_id, "") + text

    def _of(self, agent: str) -> str:
        if agent not in self._colour_of:
            self._colour_of[agent] = next(self._colours)
        return self._colour_of[agent]

    def _outcome(self, consensus: str | None, summary: str | None) -> None:
        for title, text in (("Consensus", consensus), ("Summary", summary)):
            if text:
                self.end_line()
                click.secho(title, bold=True, color=self._colour)
                click.echo(harmless(text), color=self._colour)

    def _show_progress(self, progress: Progress | StillWorking) -> None:
        of = f" of {progress.max_turns}" if progress.max_turns else ""
        percentage = f" · {progress.percentage:.0f} %" if progress.percentage is not None else ""
        silent = f" · silent for {progress.silent_s:.0f} s" if isinstance(progress, StillWorking) else ""
        line = f"turn {progress.current_turn}{of}{percentage}{silent}" + (
            f" · {progress.message}" if progress.message else ""
        )
        if line != self._progress:
            self._progress = line
            self.say(line)


def summary_of(client: Client, stream: ConversationStream) -> dict[str, Any]:
    """The figures of a client that is about to end (FEATURES E6)."""
    state, metrics, position = stream.state, stream.metrics, stream.position
    return {
        "conversation_id": state.conversation_id,
        "title": state.title,
        "status": state.status.value,
        "messages": len(state.messages) + state.omitted_messages,
        "omitted_messages": state.omitted_messages,
        "history": [
            {"agent": each.agent, "state": each.state, "characters": len(each.content), "timestamp": each.timestamp}
            for each in state.messages
        ],
        "tokens": metrics.tokens,
        "errors": metrics.errors,
        "connection": client.connection.value,
        "transport": client.transport,
        "uptime_s": client.uptime_s,
        "latency_ms": client.latency_ms,
        "reconnects": metrics.reconnects,
        "gaps": metrics.gaps,
        "duplicates": metrics.duplicates,
        "watchers": stream.watchers,
        "position": f"{position.epoch}:{position.offset}" if position else None,
    }


def connection_sentence(happening: Happening) -> str | None:
    """What to say about a change of the connection; None for what needs no words."""
    if happening.name != ClientEvent.CONNECTION:
        return None
    return {"reopening": "the connection is lost; coming back …", "open": "the connection is back"}.get(
        happening.payload["connection"]
    )
