"""A cell in a package outside the tree: what the doctor says of it, and a whole session on it."""

from __future__ import annotations

import importlib
import json
import os
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from datasets.episode import Outcome
from datasets.settings import TRUST
from hardware.latch import StopLatch
from station.jobs import doctor
from station.session.core.events import Label, Leave
from station.session.folder import SessionFolder
from station.session.snapshot import Phase
from station.session.status import count
from tests.station.conftest import Station
from tests.station.session.answering import go, rearm
from tests.station.session.attended import ROOT, attended

LAB = """
from hardware.simulation.cell import SimulatedCell
from hardware.simulation.settings import CameraSettings, SimulationSettings
from station.extending.devices import Cell, CellError, CellSettings, DataSpec, StopLatch

SCENE = SimulationSettings(cameras=(CameraSettings(name="third", height=16, width=16),), shadows="none")


class LabCell(SimulatedCell):
    \"\"\"The station's simulator in the role of a robot.\"\"\"

    simulated = False
    {change}


class LabSettings(CellSettings):
    \"\"\"The robot of a lab.\"\"\"

    kind: str = "lab.cells:LabSettings"

    @property
    def spec(self) -> DataSpec:
        return SCENE.spec

    def build(self, latch: StopLatch) -> Cell:
        return LabCell(SCENE, latch)
"""
KIND = "lab.cells:LabSettings"

Lab = Callable[[str], Path]


@pytest.fixture
def lab(tmp_path: Path, tiny_task: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lab]:
    """Installs the package, with a change to its cell, and gives the task file that names it."""
    monkeypatch.setattr(doctor, "LIBRARIES", ())
    monkeypatch.setenv("STATION_CONFIG", str(tmp_path / "config.toml"))
    monkeypatch.setenv("STATION_SESSIONS", str(tmp_path / "sessions"))
    monkeypatch.setenv(TRUST, KIND)
    (tmp_path / "site").mkdir()
    monkeypatch.syspath_prepend(str(tmp_path / "site"))

    def installed(change: str = "") -> Path:
        (tmp_path / "site" / "lab").mkdir()
        (tmp_path / "site" / "lab" / "__init__.py").touch()
        (tmp_path / "site" / "lab" / "cells.py").write_text(LAB.replace("{change}", change))
        importlib.invalidate_caches()
        text = re.sub(
            r"\n\[cell\].*?\n(?=\[policy\])",
            f'\n[cell]\nkind = "{KIND}"\n',
            tiny_task.read_text(),
            flags=re.DOTALL,
        )
        text = text.replace("episode_steps = 8\n", "episode_steps = 400\n")
        (tmp_path / "lab.toml").write_text(text)
        return tmp_path / "lab.toml"

    yield installed
    for module in [name for name in sys.modules if name.split(".")[0] == "lab"]:
        del sys.modules[module]


def test_the_doctor_asks_a_cell_what_any_cell_can_say(lab: Lab, station: Station) -> None:
    task = lab("")
    done = station("doctor", task, "--seconds", 0.5)
    assert done.exit_code == 0, done.output
    assert "lab.cells:LabSettings may enable its arms: keep clear" in done.output
    assert "The cell is ready" in done.output
    said = json.loads(station("doctor", task, "--seconds", 0.5, "--json").stdout)
    assert [device["device"] for device in said["devices"]] == ["cell", "camera third"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("def connect(self): raise CellError('lab: no answer. Switch it on.')", "lab: no answer. Switch it on."),
        ("def connect(self): return 1 / 0", "it raises ZeroDivisionError (division by zero). A cell raises CellErrors"),
        ("def preflight(self): self.freeze_camera('third'); return super().preflight()", "camera third"),
        (
            "def __init__(self, scene, latch):\\n"
            "        super().__init__(SimulationSettings(control_hz=20), latch)",
            "its settings and the cell differ in cameras, control_hz",
        ),
    ],
)  # fmt: skip
def test_the_doctor_says_what_is_wrong_with_a_cell(
    lab: Lab, station: Station, monkeypatch: pytest.MonkeyPatch, change: str, words: str
) -> None:
    monkeypatch.setattr("station.jobs.custom_cell._PATIENCE", 0.2)
    done = station("doctor", lab(change.replace("\\n", "\n")), "--seconds", 0.5)
    assert done.exit_code == 1, done.output
    assert words in done.output and "The cell is NOT ready" in done.output


@pytest.mark.slow
@pytest.mark.realtime
def test_a_whole_session_runs_on_it(lab: Lab, station: Station, trained: Path, tmp_path: Path) -> None:
    """Made, filled, trained and run from the command line; a person labels, stops, re-arms and leaves."""
    task, path = lab(""), tmp_path / "sessions" / "mine"
    for words in (
        ("new", "mine", "--task", task),
        ("import", "mine", trained / "demos"),
        ("train", "mine"),
        ("doctor", "mine", "--seconds", 0.5),
    ):
        done = station(*words)
        assert done.exit_code == 0, done.output
    refused = station("run", "mine", "--headless", "--autopilot")
    assert refused.exit_code != 0 and "only a person can judge what it did" in refused.output
    site = f"{tmp_path / 'site'}{os.pathsep}{ROOT}"
    with attended(path, environment={"PYTHONPATH": site}) as at:
        for outcome in (Outcome.SUCCESS, Outcome.FAILURE):
            at.press(Label(episode=at.roll(steps=20), outcome=outcome))
        at.roll(steps=2)
        StopLatch(SessionFolder.open(path).latch).stop()
        at.until_phase(Phase.FAULT)
        at.press(rearm())
        at.press(go())
        at.press(Label(episode=at.roll(steps=2), outcome=Outcome.SUCCESS))
        at.until_phase(Phase.READY)
        at.client.send(Leave())
        assert at.process.wait(90) == 0
    counts = count(SessionFolder.open(path))
    assert (counts.success, counts.failure, counts.cut_off) == (2, 1, 1)
    assert counts.updates > 0
    verified = station("verify", "mine")
    assert verified.exit_code == 0 and "Nothing is lost" in verified.output
