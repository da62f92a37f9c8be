"""One tiny session with demonstrations and a trained base, made once from the embedded cell; each test gets a copy."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from station.cli import app
from station.jobs import demo
from station.reporting import SilentReporter
from station.session.folder import SessionFolder
from station.tasks.config import load_task, task_to_toml
from tests.kept import kept

Station = Callable[..., Result]


@pytest.fixture
def station() -> Station:
    """The command line: ``station("status", path, "--json")``. So wide, unless a test says otherwise, that no sentence
    is broken into lines."""

    def run(*words: object) -> Result:
        wide = {"COLUMNS": os.environ.get("COLUMNS", "10000")}
        return CliRunner().invoke(app, [str(word) for word in words], prog_name="station", env=wide)

    return run


def sentences(result: Result) -> str:
    """What a command said, without the box and the line ends that a narrow terminal makes."""
    return " ".join(result.output.replace("│", " ").split())


@pytest.fixture(scope="session")
def tiny_task(pytestconfig: pytest.Config) -> Path:
    """A task file with everything as small as it goes."""
    return kept(pytestconfig, "task", _write_task) / "tiny.toml"


@pytest.fixture(scope="session")
def trained(pytestconfig: pytest.Config, tiny_task: Path) -> Path:
    """A session folder after all stages of the demo, before its first online episode. Not to be changed."""

    def train(folder: Path) -> None:
        session = demo.open_or_create(folder / "tiny", task=str(tiny_task), seed=3)
        demo.prepare(session, reporter=SilentReporter())

    return kept(pytestconfig, "trained", train) / "tiny"


def _write_task(folder: Path) -> None:
    task = load_task("place-orange-tiny")
    session = task.session.model_copy(update={"base_evaluation_episodes": 2, "cells": 1, "episode_steps": 8})
    small = task.model_copy(update={"session": session})
    (folder / "tiny.toml").write_text(task_to_toml(small))


@pytest.fixture
def session(trained: Path, tmp_path: Path) -> SessionFolder:
    """A copy of the trained session, to do with as one likes."""
    shutil.copytree(trained, tmp_path / "session")
    return SessionFolder.open(tmp_path / "session")
