"""The server's beginning."""

from __future__ import annotations

import subprocess
import sys

_LOWER_AND_ASK = """
import resource
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 200))
from app.serving import allow_descriptors
print([(allow_descriptors(wanted), resource.getrlimit(resource.RLIMIT_NOFILE)[0]) for wanted in (50, 150, 300)])
"""


def test_the_limit_of_open_files_follows_the_connections() -> None:
    """As far as the system allows it; the operator hears where that is not far enough."""
    asked = subprocess.run([sys.executable, "-c", _LOWER_AND_ASK], capture_output=True, text=True, check=True)
    assert asked.stdout.strip() == "[(None, 64), (None, 150), (200, 200)]"
