"""``list``, ``export`` and ``delete``: what is stored, over HTTP."""

from __future__ import annotations

import json
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import quote, urlencode

import click

from app.cli.options import json_option, refusal, token_option, url_option
from app.cli.screen import harmless
from app.protocol.common import Status

_UNREACHABLE, _REFUSED = 3, 4
_TIMEOUT_S = 30.0
_CHUNK_BYTES = 65_536
_ENDINGS = {"markdown": "md", "json": "json", "html": "html"}


@click.command("list")
@url_option
@token_option
@click.option("--search", help="Words that occur in the title or in a message; the last one may be a beginning.")
@click.option("--team", help="Only this team's.")
@click.option("--status", type=click.Choice([each.value for each in Status]), help="Only those that stand so.")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1), help="At most so many.")
@json_option
def list_conversations(
    url: str, token: str | None, search: str | None, team: str | None, status: str | None, limit: int, as_json: bool
) -> None:
    """List your conversations, the last changed first."""
    wanted = {"search": search, "team": team, "status": status}
    left, cursor = limit, None
    while left > 0:
        given = {"limit": str(min(200, left)), "cursor": cursor, **wanted}
        query = urlencode({name: value for name, value in given.items() if value})
        page = json.loads(_ask(url, token, "GET", f"/api/conversations?{query}").read())
        for row in page["conversations"]:
            click.echo(json.dumps(row) if as_json else _line(row))
        left, cursor = left - len(page["conversations"]), page["next_cursor"]
        if cursor is None:
            return


def _line(row: dict[str, Any]) -> str:
    role = "" if row["role"] == "owner" else f" ({row['role']})"
    changed = row["updated_at"][:16].replace("T", " ")
    return harmless(
        f"{row['conversation_id']}  {changed}  {row['status']:<12}  {row['team']:<10}  {row['title']}{role}"
    )


@click.command()
@click.argument("conversation_id")
@url_option
@token_option
@click.option(
    "--format", "form", type=click.Choice(list(_ENDINGS)), default="markdown", show_default=True, help="Of the file."
)
@click.option(
    "--output", "-o", type=click.Path(dir_okay=False, path_type=Path), help="The file; default: standard output."
)
def export(conversation_id: str, url: str, token: str | None, form: str, output: Path | None) -> None:
    """Write a conversation as Markdown, JSON, or a page that needs nothing but itself."""
    answer = _ask(url, token, "GET", f"/api/conversations/{quote(conversation_id, safe='')}/export?format={form}")
    if output is None:
        while piece := answer.read(_CHUNK_BYTES):
            sys.stdout.buffer.write(piece)
        sys.stdout.buffer.flush()
        return
    with output.open("wb") as file:
        while piece := answer.read(_CHUNK_BYTES):
            file.write(piece)
    click.echo(f"written to {output}", err=True)


@click.command()
@click.argument("conversation_id")
@url_option
@token_option
@click.option("--yes", is_flag=True, help="Do not ask.")
def delete(conversation_id: str, url: str, token: str | None, yes: bool) -> None:
    """Delete a conversation for good; a run of it is stopped."""
    if not yes:
        click.confirm(f"Delete {harmless(conversation_id)} for good?", abort=True, err=True)
    _ask(url, token, "DELETE", f"/api/conversations/{quote(conversation_id, safe='')}").read()
    click.echo("deleted", err=True)


def _ask(url: str, token: str | None, method: str, path: str) -> Any:
    """The answer, to be read. What goes wrong ends the program with a sentence and an exit code."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        request = urllib.request.Request(url.rstrip("/") + path, method=method)  # noqa: S310  # the person names the server
        if token:
            request.add_unredirected_header("Authorization", f"Bearer {token.strip()}")
        return opener.open(request, timeout=_TIMEOUT_S)
    except urllib.error.HTTPError as error:
        with error:
            _end(_sentence(error), _REFUSED)
    except (OSError, ValueError) as error:
        _end(f"no Colloquy server answers at {url}: {error}", _UNREACHABLE)


def _sentence(error: urllib.error.HTTPError) -> str:
    try:
        told = json.loads(error.read())["error"]
        return refusal(told["message"], told["code"])
    except (ValueError, KeyError, TypeError):
        return f"the server answered {error.code}"


def _end(sentence: str, code: int) -> NoReturn:
    click.echo(harmless(sentence), err=True)
    sys.exit(code)
