"""The doctor survives what it looks for."""

from __future__ import annotations

from pathlib import Path

import pytest

from station import doctor
from station.doctor import Finding, Library
from tests.station.conftest import Station


def examined(library: Library) -> Finding:
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


def test_serving_beyond_this_machine_is_warned_about(
    station: Station, monkeypatch: pytest.MonkeyPatch
) -> None:
    served: list[tuple[str, str]] = []

    class Server:
        def __init__(self, command: str, *, host: str, port: int, title: str) -> None:
            self.facts = (command, host)

        def serve(self) -> None:
            served.append(self.facts)

    monkeypatch.setattr("textual_serve.server.Server", Server)
    quiet, warned = station("serve"), station("serve", "--host", "0.0.0.0")
    assert [host for _, host in served] == ["127.0.0.1", "0.0.0.0"]
    assert "Warning" not in quiet.output
    assert "no password" in warned.output
