"""The doctor survives what it looks for."""

from __future__ import annotations

from pathlib import Path

import pytest

from station.jobs import doctor
from station.jobs.doctor import Library, MachineFinding


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
