from __future__ import annotations

import pytest

from station.session.snapshot import Rate
from station.tui.screens.evaluation import verdict
from tests.station.tui.fakes import rate


@pytest.mark.parametrize(
    ("base", "newest", "said"),
    [
        (rate(30, 100), rate(80, 100), "+50 points against the base; the intervals are apart: better"),
        (rate(80, 100), rate(30, 100), "-50 points against the base; the intervals are apart: worse"),
        (rate(44, 100), rate(15, 20), "it takes more episodes to be sure"),
    ],
)
def test_the_verdict_promises_no_more_than_the_intervals(base: Rate, newest: Rate, said: str) -> None:
    assert said in verdict(base, newest)
    assert len(verdict(base, newest)) <= 96
