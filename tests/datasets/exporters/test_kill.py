"""An export that is killed for real, again and again, ends as one that never was."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from datasets.exporters import EXPORTERS, exporter
from datasets.exporters.source import ExportSource, gather
from datasets.journal.journal import Journal
from datasets.store import EpisodeStore
from tests.datasets.exporters.conftest import MakeSource, content, smooth

pytestmark = pytest.mark.slow

DEADLINE = 120.0
"""s that a child gets to be killed."""
_PROGRAM = """
import os, signal, sys
from pathlib import Path
from datasets.exporters import exporter
from datasets.exporters.staging import Workplace
from tests.datasets.exporters.test_kill import source_of
mark, last = Workplace.mark, int(sys.argv[4])
def mark_or_die(place, done):
    if done > last:
        os.kill(os.getpid(), signal.SIGKILL)
    mark(place, done)
Workplace.mark = mark_or_die
exporter(sys.argv[1]).export(source_of(Path(sys.argv[2])), Path(sys.argv[3]))
"""
"""Kills itself, so that nobody is late for it: so many episodes are finished, the next is written and not marked."""


def source_of(session: Path) -> ExportSource:
    ledger = Journal(session / "journal.jsonl").ledger()
    return gather([EpisodeStore(session / "episodes")], ledger, session="session", instruction="Place it")


@pytest.mark.parametrize("format_name", sorted(EXPORTERS))
def test_an_export_that_was_killed_twice_equals_one_that_never_was(
    tmp_path: Path, make_source: MakeSource, format_name: str
) -> None:
    if format_name == "lerobot":
        for package in ("pyarrow", "av"):
            pytest.importorskip(package, reason="pip install 'station[formats]'")
    make_source(["success"] * 12, change=smooth, steps=20)
    out = tmp_path / "killed"
    for done in (3, 11):
        _kill_after(done, format_name, tmp_path / "session", out)
        assert not out.exists()
    source = source_of(tmp_path / "session")
    report = exporter(format_name).export(source, out)
    assert report.resumed >= 11
    exporter(format_name).export(source, tmp_path / "straight")
    if format_name != "robomimic":  # HDF5 holds the time at which it was written
        assert content(out) == content(tmp_path / "straight")
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def _kill_after(done: int, format_name: str, session: Path, out: Path) -> None:
    command = [sys.executable, "-c", _PROGRAM, format_name, str(session), str(out), str(done)]
    ended = subprocess.run(command, check=False, timeout=DEADLINE)
    assert ended.returncode == -signal.SIGKILL
    assert _done(out.with_name(f".{out.name}.partial") / "state.json") == done


def _done(state: Path) -> int:
    return int(json.loads(state.read_text())["done"])
