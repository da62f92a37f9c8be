"""The doctor survives what it looks for."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from policy.remote.answering import PolicyAnswers
from station.jobs import doctor
from station.jobs.doctor import Library, MachineFinding
from station.policy_server import PolicyServer
from station.testing.rehearsal import tiny_base
from tests.policy.remote.serving import served

TOKEN = "a-token-of-the-tests"


def examined(library: Library) -> MachineFinding:
    return next(iter(doctor.examine_libraries((library,))))


def test_a_missing_library_is_a_line_with_its_remedy() -> None:
    found = examined(Library(module="no_such_library", purpose="nothing", remedy="pip install it"))
    assert not found.check.ok
    assert found.check.detail == "not installed"
    assert found.check.remedy == "pip install it"


def test_a_library_that_dies_while_it_is_imported_does_not_take_the_doctor_along(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "deadly.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    found = examined(Library(module="deadly", purpose="nothing", remedy="none"))
    assert not found.check.ok
    assert "signal 11" in found.check.detail


def test_only_what_is_needed_makes_the_machine_unfit() -> None:
    absent = examined(Library(module="no_such_library", purpose="a device", remedy="-", optional=True))
    needed = examined(Library(module="no_such_library", purpose="policies", remedy="-"))
    assert doctor.healthy([absent])
    assert not doctor.healthy([absent, needed])


def test_policy_servers_of_the_operators_file_are_connected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "config.toml"
    monkeypatch.setenv("STATION_CONFIG", str(config))
    monkeypatch.setenv("STATION_POLICY_TOKEN", TOKEN)
    assert list(doctor.examine_policy_servers()) == []
    base = tiny_base()
    server = PolicyServer(PolicyAnswers(base), TOKEN, host="127.0.0.1", port=0)
    with served(server.app()) as port:
        servers = f'[policy-server.sessions]\nmine = "ws://127.0.0.1:{port}"\nfar = "ws://127.0.0.1:9"\nlocal = "here"'
        config.write_text(servers)
        mine, far = (finding.check for finding in doctor.examine_policy_servers())
    assert (mine.name, mine.ok) == ("policy server of mine", True)
    assert base.hash[:16] in mine.detail and "cpu" in mine.detail
    assert not far.ok and "cannot be reached" in far.detail and far.remedy
    config.write_text("[policy-server]\ndeadline = -1")
    (wrong,) = (finding.check for finding in doctor.examine_policy_servers())
    assert not wrong.ok and "deadline" in wrong.detail


def test_policy_servers_are_asked_without_the_library_that_the_doctor_looks_for() -> None:
    code = "import sys, policy.remote.line, station.policy_access; print('torch' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout == "False\n"
