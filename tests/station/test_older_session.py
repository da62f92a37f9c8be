"""A session that an earlier version left behind opens, is verified and goes on."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path

import pytest

from tests.station.conftest import Station

OLDER = Path(__file__).with_name("older_session.tar.xz")
"""`station demo --episodes 6` on place-orange-tiny, as version 0.1.0 left it on disk."""


@pytest.fixture
def older(tmp_path: Path) -> Path:
    with tarfile.open(OLDER) as packed:
        packed.extractall(tmp_path, filter="data")
    return tmp_path / "older"


def test_its_past_is_counted_and_found_sound(station: Station, older: Path) -> None:
    told = json.loads(station("status", older, "--json").stdout)
    assert (told["demos"], told["episodes"], told["timeout"], told["updates"]) == (2, 6, 6, 3)
    checked = station("verify", older)
    assert checked.exit_code == 0, checked.output


@pytest.mark.slow
def test_it_goes_on_where_it_was_left(station: Station, older: Path) -> None:
    before = json.loads(station("status", older, "--json").stdout)
    done = station("run", older, "--headless", "--autopilot", "--episodes", 8)
    assert done.exit_code == 0, done.output
    after = json.loads(station("status", older, "--json").stdout)
    assert after["episodes"] == 8 and after["updates"] > before["updates"]
    assert station("verify", older).exit_code == 0
