"""A session's limits: tightened by a word, loosened by a flag, and compared with the task file they came from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import tomlkit
from typer.testing import CliRunner

from datasets.journal.journal import Journal
from datasets.journal.records import LimitChanged
from datasets.lock import LockedError, WriterLock
from hardware.cell import ClockSpeed
from hardware.latch import StopLatch
from hardware.robot.cell import RobotCell
from hardware.robot.limits import STRICTER, LimitError, changed, find, limits_of
from hardware.robot.settings import RobotCellSettings
from hardware.safety.filter import SafetySettings, WorkspaceSettings
from station.cli import app
from station.session.engine.factory import make_cells
from station.session.folder import SessionFolder
from station.session.limits import change, in_force, remarks, table
from station.tasks.config import load_task
from station.tasks.shelf import source_of
from tests.hardware.fakes import cell_table, read_cell


def task_file(folder: Path, **safety: Any) -> Path:
    """A task with two fake arms."""
    content = cell_table(folder / "board", arms=2)
    content["safety"] |= safety
    path = folder / "two-arms.toml"
    path.write_text(tomlkit.dumps({"name": "two-arms", "cell": content}))
    return path


@pytest.fixture
def session(tmp_path: Path) -> SessionFolder:
    path = task_file(tmp_path)
    return SessionFolder.create(
        tmp_path / "pour", load_task(path), task_name="two-arms", seed=0, source=source_of(path)
    )


def journaled(folder: SessionFolder) -> list[dict[str, Any]]:
    return [line.record.to_fields() for line in Journal(folder.journal).ledger().lines_of(LimitChanged)]


def velocity(folder: SessionFolder) -> float | None:
    cell = in_force(SessionFolder.open(folder.path)).cell
    assert isinstance(cell, RobotCellSettings)
    return cell.safety.velocity


def test_a_tighter_limit_is_journaled_and_in_force_at_the_next_start(session: SessionFolder) -> None:
    change(session, "velocity", 0.15, loosen=False)
    assert velocity(session) == 0.15
    [line] = journaled(session)
    assert line == {"name": "safety.velocity", "value": 0.15, "before": 0.5, "loosened": False}
    assert SessionFolder.open(session.path).task.cell == session.task.cell, "the frozen copy stays"
    [cell] = make_cells(in_force(session), 1, ClockSpeed.REAL, StopLatch(session.latch))
    assert isinstance(cell, RobotCell) and cell.settings.safety.velocity == 0.15


@pytest.mark.parametrize(
    ("name", "tighter", "looser"),
    [
        ("velocity", 0.4, 0.6),
        ("radius", 0.12, 0.05),
        ("workspaces.left.lower", (0.25, -0.3, 0.05), (0.2, -0.3, 0.0)),
        ("workspaces.right.upper", (0.7, 0.2, 0.5), (0.7, 0.3, 0.6)),
        ("heartbeat", 0.2, 1.0),
    ],
)
def test_what_gives_the_arms_more_room_needs_a_flag(
    session: SessionFolder, name: str, tighter: Any, looser: Any
) -> None:
    change(session, name, tighter, loosen=False)
    with pytest.raises(LimitError, match="repeat it with --loosen"):
        change(session, name, looser, loosen=False)
    assert len(journaled(session)) == 1
    change(session, name, looser, loosen=True)
    assert journaled(session)[-1]["loosened"] is True


def test_a_box_that_is_smaller_on_one_side_and_larger_on_another_is_looser(session: SessionFolder) -> None:
    with pytest.raises(LimitError, match="more room"):
        change(session, "workspaces.left.upper", (0.6, 0.4, 0.5), loosen=False)


def test_another_home_is_no_tightening(session: SessionFolder) -> None:
    with pytest.raises(LimitError, match="cannot be compared"):
        change(session, "arms.left.home", (0.4, 0.0, 0.2, 0.0, 0.0, 0.0), loosen=False)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("velocty", 0.1, "Did you mean 'velocity'"),
        ("home", 0.1, "may be arms.left.home or arms.right.home. Say which"),
        ("velocity", -1.0, "greater than 0"),
        ("velocity", "fast", "velocity"),
        ("workspaces.left.upper", (0.1, 0.1, 0.1), "the workspace of left is empty"),
    ],
)
def test_a_limit_that_cannot_be_is_refused_with_the_remedy(
    session: SessionFolder, name: str, value: Any, said: str
) -> None:
    with pytest.raises(LimitError, match=said):
        change(session, name, value, loosen=True)
    assert not session.journal.exists()


def test_a_session_that_an_engine_holds_is_left_alone(session: SessionFolder) -> None:
    with WriterLock(session.lock), pytest.raises(LockedError):
        change(session, "velocity", 0.1, loosen=False)


def test_a_task_file_that_was_changed_is_told_with_the_difference(session: SessionFolder) -> None:
    assert remarks(session) == []
    task_file(session.path.parent, velocity=0.2, frame_age=0.5)
    [said] = remarks(session)
    assert "safety.velocity 0.5 here, 0.2 there (looser here)" in said
    assert "safety.frame_age 0.2 here, 0.5 there (not looser here)" in said
    assert str(session.path.parent / "two-arms.toml") in said
    assert {row.name for row in table(session) if row.looser} == {"safety.velocity"}


def test_a_run_says_so_before_its_screen_opens(session: SessionFolder) -> None:
    task_file(session.path.parent, velocity=0.2)
    done = CliRunner().invoke(app, ["run", str(session.path)])
    assert "Warning: This session's limits are not those of" in done.output
    assert "needs a terminal" in done.output


def test_a_task_file_that_is_gone_is_said_and_keeps_nobody_from_working(session: SessionFolder) -> None:
    (session.path.parent / "two-arms.toml").unlink()
    [said] = remarks(session)
    assert "cannot be compared" in said and "two-arms.toml" in said
    assert velocity(session) == 0.5


def test_a_session_from_before_sources_were_written_down_still_opens(session: SessionFolder) -> None:
    file = session.path / "session.toml"
    kept = [line for line in file.read_text().splitlines() if not line.startswith("source =")]
    file.write_text("\n".join(kept))
    old = SessionFolder.open(session.path)
    assert old.source == "" and remarks(old) == []
    change(old, "velocity", 0.1, loosen=False)
    assert velocity(old) == 0.1


def test_every_safety_setting_says_which_way_it_is_stricter() -> None:
    assert set(STRICTER["safety"]) == set(SafetySettings.model_fields) - {"workspaces"}
    assert set(STRICTER["safety.workspaces"]) == set(WorkspaceSettings.model_fields) - {"arm"}


def test_changing_nothing_leaves_the_cell_equal(tmp_path: Path) -> None:
    cell = read_cell(cell_table(tmp_path / "board", arms=2))
    same = {name: limit.value for name, limit in limits_of(cell).items() if limit.value is not None}
    assert changed(cell, same) == cell
    assert find(cell, "workspaces.left.upper").value == (0.7, 0.3, 0.5)


def test_the_command_shows_changes_and_refuses(session: SessionFolder) -> None:
    def say(*words: str) -> tuple[int, str]:
        result = CliRunner().invoke(app, ["limits", str(session.path), *words])
        return result.exit_code, result.output

    assert say("velocity", "0.15")[0] == 0
    code, said = say("workspaces.left.upper", "[0.7, 0.3, 0.6]")
    assert code == 2 and "--loosen" in said
    code, said = say("--json")
    rows = {row["name"]: row for row in json.loads(said)}
    assert code == 0 and rows["safety.velocity"]["session"] == 0.15
    assert rows["safety.velocity"]["frozen"] == rows["safety.velocity"]["file"] == 0.5
    assert "task file today" in say()[1]
