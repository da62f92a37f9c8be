"""What a long job tells where its output is no terminal."""

from __future__ import annotations

from contextlib import suppress

import pytest

from datasets.errors import StationError
from station.reporting import TerminalReporter


class Clock:
    """Stands until it is moved."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def report(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> TerminalReporter:
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    monkeypatch.delenv("TTY_COMPATIBLE", raising=False)
    return TerminalReporter(interval=20.0, clock=clock)


def test_without_a_terminal_a_stage_is_told_at_its_start_now_and_then_and_at_its_end(
    report: TerminalReporter, clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    with report:
        for done in range(101):
            report.progress("pretrain", done, 100, eta=4.0 * (100 - done), loss=0.5)
            if done == 0:
                assert capsys.readouterr().out == "pretrain 0/100  loss 0.500  about 7 min left\n"
            clock.now += 0.5
        assert capsys.readouterr().out.splitlines() == [
            "pretrain 40/100  loss 0.500  about 4 min left",
            "pretrain 80/100  loss 0.500  about 80 s left",
            "pretrain 100/100  loss 0.500",
        ]
        report.progress("evaluate", 0, 5)
        report.progress("evaluate", 1, 5, success=1.0)
    assert capsys.readouterr().out.splitlines() == ["evaluate 0/5", "evaluate 1/5  success 1.000"]


def test_a_run_without_a_goal_tells_how_far_it_is_as_seldom(
    report: TerminalReporter, clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    with report:
        for done in range(9):
            report.progress("episodes", done, done)
            clock.now += 5.0
    assert capsys.readouterr().out.splitlines() == ["episodes 0/0", "episodes 4/4", "episodes 8/8"]


def test_a_job_that_fails_has_told_how_far_it_came(
    report: TerminalReporter, capsys: pytest.CaptureFixture[str]
) -> None:
    with suppress(StationError), report:
        report.progress("import", 0, 9)
        report.progress("import", 3, 9)
        raise StationError("no more")
    assert capsys.readouterr().out.splitlines() == ["import 0/9", "import 3/9"]
