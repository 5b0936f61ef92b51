"""Starts Colloquy: ``python run.py [--host HOST] [--port PORT]``; ``--help`` lists every setting."""

from __future__ import annotations

import argparse
import gc
import os
import sys
from pathlib import Path

PROJECT = Path(__file__).resolve().parent
sys.path.insert(0, str(PROJECT))


def chosen_async_mode() -> str:
    """ASYNC_MODE from the environment or ``.env``: it must be known before anything else is imported."""
    from dotenv import dotenv_values

    mode = os.environ.get("ASYNC_MODE") or dotenv_values(PROJECT / ".env").get("ASYNC_MODE") or "eventlet"
    return mode.strip().lower()


def parse_arguments() -> argparse.Namespace:
    """The command line; ``--help`` prints the table of settings."""
    from app.settings import describe_settings

    rows = [f"  {name:30} {meaning} [{default}]" for name, default, meaning in describe_settings()]
    parser = argparse.ArgumentParser(
        prog="python run.py",
        description="Colloquy streams AutoGen conversations into the browser.",
        epilog="settings, from the environment or a .env file [default]:\n" + "\n".join(rows),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--host", help="address to listen on (HOST)")
    parser.add_argument("--port", type=int, help="port to listen on; 0: any free one (PORT)")
    return parser.parse_args()


def main() -> int:
    """Run the server until it is told to end; the exit status."""
    if "-h" in sys.argv or "--help" in sys.argv:
        parse_arguments()
    gc.disable()  # until it serves: what is imported is no garbage, and looking through it again and again takes 0.2 s
    mode, patch_error = chosen_async_mode(), None
    if mode in ("eventlet", "gevent"):
        from app.concurrency import patch

        try:
            patch(mode)
        except Exception as error:  # noqa: BLE001  # B9: whatever is wrong with it, HTTP is served
            patch_error = error
    from app.serving import run

    arguments = parse_arguments()
    overrides = {name: value for name in ("host", "port") if (value := getattr(arguments, name)) is not None}
    return run(PROJECT, overrides, patch_error)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:  # in the first moments, before the server handles signals
        sys.exit(130)
