"""A file belongs to one server, as long as that lives."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from app.store.reservation import Occupied, reserve
from tests.support.processes import ROOT

HOLDER = """
import sys
from pathlib import Path
from app.store.reservation import reserve
assert reserve(Path(sys.argv[1])) is not None
print("mine", flush=True)
sys.stdin.read()
"""


def test_a_file_is_kept_until_its_holder_is_dead(tmp_path: Path) -> None:
    """Also by another name of it; a killed holder leaves nothing that would keep the next one out."""
    path, link = tmp_path / "store.sqlite3", tmp_path / "link.sqlite3"
    link.symlink_to(path)
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path)], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "mine\n"
        for each in (path, link):
            with pytest.raises(Occupied, match=f"process {holder.pid}, "):
                reserve(each)
        holder.kill()
    mine = reserve(path)
    assert mine is not None
    os.close(mine)


def test_where_no_lock_can_be_made_nothing_is_reserved(tmp_path: Path) -> None:
    """The store's own state says what is wrong there."""
    (tmp_path / "file").touch()
    assert reserve(tmp_path / "file" / "store.sqlite3") is None
