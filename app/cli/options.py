"""Options that the commands share."""

from __future__ import annotations

import os

import click

from app.client import DEFAULT_URL
from app.errors import TokenExpired, Unauthenticated


def _default_url() -> str:
    port = os.environ.get("PORT", "")
    return f"http://127.0.0.1:{port}" if port.isdecimal() and port != "0" else DEFAULT_URL


def refusal(message: str, code: str) -> str:
    """What a server refuses with, as a sentence; where it does not know who asks, with what mends that."""
    sentence = f"{message} ({code})"
    if code in (Unauthenticated.code, TokenExpired.code):
        sentence += "; COLLOQUY_TOKEN or --token takes an API token or a JWT"
    return sentence


url_option = click.option(
    "--url",
    envvar="COLLOQUY_URL",
    default=_default_url,
    show_default="COLLOQUY_URL, or http://127.0.0.1:5000",
    help="The server's address.",
)
token_option = click.option(
    "--token",
    envvar="COLLOQUY_TOKEN",
    help="An API token or a JWT; better in COLLOQUY_TOKEN, which no list of processes shows.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="One JSON object a line, for programs.")
colour_option = click.option(
    "--color/--no-color",
    "colour",
    default=None,
    help="Colours; by default where the output is a terminal and NO_COLOR is not set.",
)
