"""Files of other people run no code: not by the classes they name, and not by the modules that lie beside them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import station as package
from datasets.settings import TRUST
from station.session.folder import SessionFolder
from station.tasks.config import load_task, task_to_toml
from tests.station.conftest import Station

ROOT = Path(package.__file__).parents[1]
TRAP = """
import os, pathlib
pathlib.Path(os.environ["SPRUNG"]).touch()
"""
OWN_METHOD = (
    TRAP
    + """
from policy.steering.zprl import ZPRLSettings
class Mine(ZPRLSettings):
    method: str = "trap_method:Mine"
"""
)


@pytest.fixture
def sprung(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """There once somebody's code has run."""
    monkeypatch.setenv("SPRUNG", str(tmp_path / "sprung"))
    monkeypatch.setenv("STATION_CONFIG", str(tmp_path / "config.toml"))
    monkeypatch.delenv(TRUST, raising=False)
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "trap_method.py").write_text(OWN_METHOD)
    monkeypatch.syspath_prepend(str(tmp_path / "code"))
    monkeypatch.delitem(sys.modules, "trap_method", raising=False)
    return tmp_path / "sprung"


@pytest.fixture
def task(tmp_path: Path, sprung: Path) -> Path:
    """A task file that names a class of its own."""
    path = tmp_path / "task.toml"
    text = task_to_toml(load_task("place-orange-tiny"))
    path.write_text(text.replace('method = "zprl"', 'method = "trap_method:Mine"'))
    return path


def sent(folder: Path) -> Path:
    """A session that somebody else made with such a task."""
    made = SessionFolder.create(folder, load_task("place-orange-tiny"), task_name="tiny", seed=0)
    frozen = made.path / "session.toml"
    frozen.write_text(frozen.read_text().replace('method = "zprl"', 'method = "trap_method:Mine"'))
    return made.path


def test_a_task_that_names_code_is_refused_with_the_flag_that_lets_it(
    station: Station, task: Path, sprung: Path, tmp_path: Path
) -> None:
    refused = station("new", tmp_path / "mine", "--task", task)
    assert refused.exit_code == 2
    words = " ".join(refused.output.replace("│", "").split())
    assert "[steering]" in words
    assert "--trust trap_method:Mine" in words
    assert not sprung.exists()
    assert not (tmp_path / "mine").exists()


def test_what_was_named_with_the_flag_runs(
    station: Station, task: Path, sprung: Path, tmp_path: Path
) -> None:
    assert station("--trust", "trap_method:Mine", "new", tmp_path / "mine", "--task", task).exit_code == 0
    assert sprung.exists()


def test_a_flag_that_names_another_class_lets_nothing_run(
    station: Station, task: Path, sprung: Path, tmp_path: Path
) -> None:
    refused = station("--trust", "my_package:Mine", "new", tmp_path / "mine", "--task", task)
    assert refused.exit_code == 2
    assert not sprung.exists()


def test_what_the_operators_own_file_lists_needs_no_flag(
    station: Station, task: Path, sprung: Path, tmp_path: Path
) -> None:
    (tmp_path / "config.toml").write_text('[trust]\nclasses = ["trap_method:Mine"]\n')
    assert station("new", tmp_path / "mine", "--task", task).exit_code == 0
    assert sprung.exists()


def test_a_trust_table_that_is_no_list_is_named(station: Station, tmp_path: Path, sprung: Path) -> None:
    (tmp_path / "config.toml").write_text('[trust]\nclasses = "trap_method:Mine"\n')
    assert "must be a list" in station("new", tmp_path / "mine").output


@pytest.mark.slow
def test_looking_at_what_somebody_sent_runs_none_of_its_code(
    station: Station, sprung: Path, task: Path, tmp_path: Path
) -> None:
    session = sent(tmp_path / "sent")
    recordings = tmp_path / "recordings"
    recordings.mkdir()
    for words in (
        ("status", session),
        ("verify", session, "--look-only"),
        ("review", session, "--list"),
        ("export", session, "--format", "zarr", "--out", tmp_path / "out"),
        ("import", session, recordings, "--dry-run"),
        ("run", session, "--headless", "--autopilot"),
        ("train", session),
        ("eval", session),
        ("tasks", task),
        ("tasks", task, "--all"),
    ):
        station(*words)
        assert not sprung.exists(), words
    assert station("status", session).exit_code == 0


def test_the_words_of_a_task_are_read_without_its_classes(tmp_path: Path, sprung: Path) -> None:
    assert SessionFolder.open(sent(tmp_path / "sent")).words.startswith("Place")
    assert not sprung.exists()


@pytest.mark.slow
def test_modules_that_lie_where_one_stands_are_not_run(tmp_path: Path, sprung: Path) -> None:
    here = tmp_path / "data"
    here.mkdir()
    for name in ("logging", "json", "multiprocessing", "numpy", "h5py", "torch", "typer", "policy", "trap"):
        (here / f"{name}.py").write_text(TRAP)
    (here / "episode.hdf5").write_bytes(b"no HDF5")
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    for words in (["new", "mine"], ["import", "mine", ".", "--dry-run"], ["status"], ["doctor"]):
        done = subprocess.run(
            [sys.executable, "-m", "station", *words],
            check=False,
            cwd=here,
            env=environment,
            capture_output=True,
            text=True,
        )
        assert not sprung.exists(), words
        assert "Traceback" not in done.stderr
