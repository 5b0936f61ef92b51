"""``flask colloquy …``: follow, start, and look after conversations from a terminal.

The commands are clients like any other; they start no server and use no port. Guide: docs/clients/command-line.md.
"""

from __future__ import annotations

import importlib
import os
import sys

import click
from flask import Flask

NAME = "colloquy"

# command → module, function; imported when it is called, since a server that starts wants none of it
_COMMANDS = {
    "delete": ("app.cli.library", "delete"),
    "doctor": ("app.cli.doctor", "doctor"),
    "export": ("app.cli.library", "export"),
    "list": ("app.cli.library", "list_conversations"),
    "migrate": ("app.cli.migrate", "migrate"),
    "start": ("app.cli.follow", "start"),
    "tail": ("app.cli.follow", "tail"),
    "token": ("app.cli.people", "token"),
    "user": ("app.cli.people", "user"),
}


class _LateGroup(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module, function = _COMMANDS[cmd_name]
        command: click.Command = getattr(importlib.import_module(module), function)
        return command


@click.group(NAME, cls=_LateGroup, context_settings={"help_option_names": ["-h", "--help"]})
def colloquy() -> None:
    """Follow and start conversations on a Colloquy server; look after people; find out what is wrong."""


def command_line_app() -> Flask | None:
    """An application that has these commands and nothing else, where the ``flask`` program is about to run one of them.

    So they start quickly, need no sound settings (``doctor`` tells what is wrong with them), and load no async library.
    """
    if os.environ.get("FLASK_RUN_FROM_CLI") != "true" or NAME not in sys.argv:
        return None
    app = Flask(NAME)
    app.cli.add_command(colloquy)
    return app
