"""A session that an earlier version left behind opens, passes verify and resumes."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path

import pytest

from policy.base import POLICY_FILE
from station.session.engine.factory import load_base
from station.session.folder import SessionFolder
from tests.station.conftest import Station

OLDER = Path(__file__).with_name("older_session.tar.xz")
"""`station demo --episodes 6` on place-orange-tiny, as version 0.1.0 left it on disk."""


@pytest.fixture
def older(tmp_path: Path) -> Path:
    with tarfile.open(OLDER) as packed:
        packed.extractall(tmp_path, filter="data")
    return tmp_path / "older"


def test_its_episodes_are_counted_and_verified(station: Station, older: Path) -> None:
    told = json.loads(station("status", older, "--json").stdout)
    assert (told["demos"], told["episodes"], told["timeout"], told["updates"]) == (2, 6, 6, 3)
    checked = station("verify", older)
    assert checked.exit_code == 0, checked.output


def test_its_settings_and_its_base_are_read_by_the_names_that_they_had(older: Path) -> None:
    folder = SessionFolder.open(older)
    assert (folder.tables["execute"], folder.tables["policy"]["horizon"]) == (8, 8)
    assert (folder.task.n_action_steps, folder.task.policy.prediction_horizon) == (8, 8)
    stored = json.loads((folder.base / POLICY_FILE).read_text())
    base = load_base(folder)
    assert base.hash == stored["hash"]
    base.save(older / "copy")
    assert json.loads((older / "copy" / POLICY_FILE).read_text()) == stored


@pytest.mark.slow
def test_it_resumes_where_it_was_left(station: Station, older: Path) -> None:
    before = json.loads(station("status", older, "--json").stdout)
    done = station("run", older, "--headless", "--autopilot", "--episodes", 8)
    assert done.exit_code == 0, done.output
    after = json.loads(station("status", older, "--json").stdout)
    assert after["episodes"] == 8 and after["updates"] > before["updates"]
    assert station("verify", older).exit_code == 0
