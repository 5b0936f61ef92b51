"""What the async modes make of the standard library, in processes of their own: nobody can take a patch back."""

from __future__ import annotations

import subprocess
import sys

from tests.support.processes import ROOT

NAMES = """
from app.concurrency import patch
patch("eventlet")
import socket, sys, eventlet
turns = []
eventlet.spawn(lambda: turns.append(1))
found = socket.getaddrinfo("localhost", 80, type=socket.SOCK_STREAM)
assert turns and found[0][4][1] == 80, (turns, found)
try:
    socket.create_connection(("nobody.invalid", 80), 5)
except socket.gaierror as error:
    print("unknown", "eventlet.support.greendns" in sys.modules)
"""


def test_names_are_looked_up_by_the_system() -> None:
    """With eventlet, too, and others go on meanwhile; a name that nobody knows is an exception, and no noise."""
    ran = subprocess.run([sys.executable, "-c", NAMES], capture_output=True, text=True, cwd=ROOT, check=False)
    assert (ran.stdout, ran.stderr) == ("unknown False\n", "")


HEAVY = ("autogen", "autogen_agentchat", "ag2", "openai", "httpx2", "matplotlib", "pandas", "trafilatura", "mcp", "dns")


def test_the_server_imports_nothing_that_only_agents_need() -> None:
    """It would start later, and so would each of its tests."""
    program = f"import sys, app.serving; print([name for name in {HEAVY!r} if name in sys.modules])"
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, check=True)
    assert ran.stdout == "[]\n"
