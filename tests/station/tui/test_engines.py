from __future__ import annotations

from pathlib import Path

import pytest

from station.tui.engines import told_end

ROUTINE = "2026-11-21 02:04:03,625 The last motion command went out 137 ms late."


@pytest.mark.parametrize(
    ("code", "log", "told"),
    [
        (-9, ROUTINE, "killed by signal 9 (Killed)"),
        (
            -6,
            f"{ROUTINE}\nterminate called without an active exception",
            "signal 6 (Aborted): terminate called",
        ),
        (-11, "", "killed by signal 11 (Segmentation fault)"),
        (1, f"{ROUTINE}\n2026-11-21 02:04:44,001 The base is missing.", "exit code 1: The base is missing."),
        (1, f"{ROUTINE}\nValueError: no", "exit code 1: ValueError: no"),
        (0, ROUTINE, "it ended in order"),
    ],
)
def test_the_end_of_an_engine_is_told_without_what_it_said_long_before(
    tmp_path: Path, code: int, log: str, told: str
) -> None:
    path = tmp_path / "engine.log"
    path.write_text(log)
    said = told_end(code, path)
    assert told in said
    assert "02:04" not in said and "motion command" not in said
