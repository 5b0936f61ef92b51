"""``tail`` and ``start``: a conversation in the terminal."""

from __future__ import annotations

import re
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Literal, NoReturn
from urllib.parse import urlsplit

import click

from app.cli.answers import Answers
from app.cli.options import colour_option, json_option, refusal, token_option, url_option
from app.cli.screen import JsonLines, Screen, connection_sentence, summary_of
from app.client import (
    Client,
    ClientError,
    ClientEvent,
    ContentType,
    ConversationStream,
    Filter,
    Happening,
    Position,
    Status,
)
from app.client.errors import UNREACHABLE
from app.client.mailbox import Events
from app.protocol.commands import RunOptions
from app.protocol.events import LOGGED_BY_NAME

# exit codes; 2 is click's, for wrong usage
_COMPLETED, _FAILED, _UNREACHABLE, _REFUSED, _STOPPED, _DETACHED = 0, 1, 3, 4, 5, 130

_CONNECT_TIMEOUT_S = 15.0  # for a busy server; where nobody listens, that is found at once
_PROBE_TIMEOUT_S = 5.0
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}

OnInterrupt = Literal["ask", "detach", "stop"]


def _since(_: click.Context, __: click.Parameter, value: str | None) -> datetime | None:
    if value is None:
        return None
    if ago := re.fullmatch(r"(\d+)([smhd])", value):
        return datetime.now(UTC) - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
    try:
        return datetime.fromisoformat(value).astimezone(UTC)
    except ValueError:
        raise click.BadParameter("a time like 2026-11-21T09:30:00Z, or how long ago, like 90s, 10m, 2h, 1d") from None


def _position(_: click.Context, __: click.Parameter, value: str | None) -> Position | None:
    if value is None:
        return None
    epoch, _colon, offset = value.rpartition(":")
    if not epoch or not offset.isdecimal():
        raise click.BadParameter("EPOCH:OFFSET, as printed at the end of an earlier call")
    return Position(epoch=epoch, offset=int(offset))


answer_option = click.option(
    "--answer/--no-answer",
    "answer",
    default=None,
    help="Answer agents that ask with the lines of standard input; default: where that is a terminal.",
)


@click.command()
@click.argument("conversation_id")
@url_option
@token_option
@click.option(
    "--since", callback=_since, help="Only what was logged from then on: ISO 8601, or like 10m for ten minutes."
)
@click.option("--position", callback=_position, help="Only what came after EPOCH:OFFSET.")
@click.option("--type", "types", multiple=True, type=click.Choice(sorted(LOGGED_BY_NAME)), help="Only these events.")
@click.option(
    "--role", "roles", multiple=True, type=click.Choice(["user", "agent", "system"]), help="Only their messages."
)
@click.option("--agent", "agents", multiple=True, help="Only what these agents say.")
@click.option("--follow", "-f", is_flag=True, help="Go on with the next runs, until Ctrl-C.")
@click.option("--status", is_flag=True, help="Print connection, history, message count, errors and uptime, and leave.")
@answer_option
@json_option
@colour_option
def tail(
    conversation_id: str,
    url: str,
    token: str | None,
    since: datetime | None,
    position: Position | None,
    types: tuple[str, ...],
    roles: tuple[Literal["user", "agent", "system"], ...],
    agents: tuple[str, ...],
    follow: bool,
    status: bool,
    answer: bool | None,
    as_json: bool,
    colour: bool | None,
) -> None:
    """Follow a conversation.

    What was said so far, then every token, until the run ends.
    """
    screen = JsonLines() if as_json else Screen(colour)
    wanted = Filter(types=types, roles=roles, agents=agents) if types or roles or agents else None
    with _client(url, token, screen) as client:
        with client.join(conversation_id) as whole:  # with a place or a filter, one cannot see whether it has ended
            figures, head, over = summary_of(client, whole), whole.metrics.offset, _is_over(whole.status)
            code = _exit_code(whole)
        if status:
            screen.summary(figures, history=True)
            return
        stream = client.stream()
        events = stream.events(until_end=not follow)
        ack = stream.join(conversation_id, since=since, position=position, filter=wanted)
        if not (over and not follow and ack.recovered and ack.offset >= head):
            try:
                with Answers(stream, screen, wanted=_answers(answer)) as answers:
                    _show(events, screen, answers)
                code = _exit_code(stream)
            except KeyboardInterrupt:
                code = _DETACHED
            figures = summary_of(client, stream)
        screen.summary(figures)
        sys.exit(code)


@click.command()
@click.argument("content")
@url_option
@token_option
@click.option("--team", default="debate", show_default=True, help="Who shall talk.")
@click.option(
    "--content-type",
    type=click.Choice([each.value for each in ContentType]),
    default=ContentType.TEXT.value,
    show_default=True,
    help="What the content is: a request, an article to quote, an address to fetch.",
)
@click.option("--conversation", "conversation_id", help="Continue this one, which must have ended.")
@click.option("--max-turns", type=click.IntRange(1, 100), help="Agent turns, where the team allows it.")
@click.option("--max-tokens", type=click.IntRange(1, 1_000_000_000), help="Tokens that the run may spend in all.")
@click.option("--tokens-per-s", type=click.FloatRange(0, 100_000), help="Pace; 0: as fast as the model.")
@click.option("--detach", is_flag=True, help="Do not follow: print the conversation's id and leave.")
@click.option(
    "--on-interrupt",
    type=click.Choice(["ask", "detach", "stop"]),
    default="ask",
    show_default=True,
    help="At Ctrl-C: ask (without a terminal: detach), let the run go on, or stop it.",
)
@answer_option
@json_option
@colour_option
def start(
    content: str,
    url: str,
    token: str | None,
    team: str,
    content_type: str,
    conversation_id: str | None,
    max_turns: int | None,
    max_tokens: int | None,
    tokens_per_s: float | None,
    detach: bool,
    on_interrupt: OnInterrupt,
    answer: bool | None,
    as_json: bool,
    colour: bool | None,
) -> None:
    """Start a conversation and follow it to its end.

    CONTENT is what it is about; -: read it from standard input.
    """
    screen = JsonLines() if as_json else Screen(colour)
    if content == "-":
        content = sys.stdin.read()
    with _client(url, token, screen) as client:
        stream = client.start(
            content,
            team=team,
            content_type=ContentType(content_type),
            conversation_id=conversation_id,
            options=RunOptions(max_turns=max_turns, max_tokens=max_tokens, tokens_per_s=tokens_per_s),
        )
        if detach:
            click.echo(stream.conversation_id)
            return
        screen.say(f"follow it elsewhere: flask colloquy tail {stream.conversation_id}")
        events = stream.events()
        while True:
            try:
                with Answers(stream, screen, wanted=_answers(answer)) as answers:
                    _show(events, screen, answers)
                break
            except KeyboardInterrupt:
                screen.end_line()
                if not _stops(on_interrupt):
                    screen.summary(summary_of(client, stream))
                    screen.say("left; the run goes on")
                    sys.exit(_DETACHED)
                _stop(stream, screen)
        screen.summary(summary_of(client, stream))
        sys.exit(_exit_code(stream))


def _show(events: Events, screen: Screen | JsonLines, answers: Answers) -> None:
    """Show what comes; an interrupted call can be repeated."""
    for happening in events:
        screen.show(happening)
        answers.hear(happening)
    screen.end_line()


def _answers(wanted: bool | None) -> bool:
    return sys.stdin is not None and sys.stdin.isatty() if wanted is None else wanted


def _stops(on_interrupt: OnInterrupt) -> bool:
    if on_interrupt != "ask" or not sys.stdin.isatty():
        return on_interrupt == "stop"
    try:
        return click.confirm("Stop the run? It goes on without you otherwise.", default=False, err=True)
    except click.Abort:  # Ctrl-C once more
        return False


def _stop(stream: ConversationStream, screen: Screen | JsonLines) -> None:
    try:
        tokens = stream.stop().tokens
    except ClientError as error:
        screen.say(str(error), warning=True)  # it has ended by itself
    else:
        about = "about " if tokens.estimated else ""
        spent = f"{about}{tokens.prompt_tokens} + {tokens.completion_tokens}{tokens.cost_words()}"
        screen.say(f"stopped; tokens spent: {spent}")


@contextmanager
def _client(url: str, token: str | None, screen: Screen | JsonLines) -> Iterator[Client]:
    """A connected client. What goes wrong with it ends the program with a sentence and an exit code."""
    client = Client(url, auth={"token": token.strip()} if token else None)

    def tell(happening: Happening) -> None:
        if sentence := connection_sentence(happening):
            screen.say(sentence, warning=True)

    try:
        _probe(client.url)
        client.connect(_CONNECT_TIMEOUT_S)
        client.on(ClientEvent.CONNECTION, tell)
        with client:
            yield client
    except ClientError as error:
        _end(screen, error)


def _probe(url: str) -> None:
    parts = urlsplit(url)
    try:
        port = parts.port or (443 if parts.scheme == "https" else 80)
        socket.create_connection((parts.hostname or "", port), _PROBE_TIMEOUT_S).close()
    except (OSError, ValueError) as error:
        raise ClientError(UNREACHABLE, f"no Colloquy server answers at {url}: {error}", retryable=True) from None


def _end(screen: Screen | JsonLines, error: ClientError) -> NoReturn:
    screen.say(refusal(error.message, error.code), warning=True)
    unreachable = error.retryable or error.unanswered
    if unreachable:
        screen.say("`flask colloquy doctor` tells what is wrong", warning=True)
    sys.exit(_UNREACHABLE if unreachable else _REFUSED)


def _is_over(status: Status) -> bool:
    return status in (Status.COMPLETED, Status.STOPPED, Status.ERROR)


def _exit_code(stream: ConversationStream) -> int:
    return {Status.ERROR: _FAILED, Status.STOPPED: _STOPPED}.get(stream.status, _COMPLETED)
