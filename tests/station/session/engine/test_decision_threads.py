"""How many CPU threads a decision gets: by a rule at first, and from then on as the session began."""

from __future__ import annotations

import pytest
import torch

from datasets.journal.journal import Journal
from datasets.journal.records import SessionOpened
from hardware.latch import StopLatch
from policy.base import BasePolicy
from policy.bottleneck import BottleneckSettings
from station.session.engine.decision_threads import decision_threads, recorded_threads, usual_threads
from station.session.engine.engine import Engine
from station.session.engine.factory import compose
from station.session.engine.options import EngineOptions
from station.session.folder import SessionFolder
from tests.policy.toys import SPEC, TINY

OPTIONS = EngineOptions()


@pytest.fixture(autouse=True)
def eight_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("station.session.engine.decision_threads.cores", lambda: 8)


@pytest.fixture
def base() -> BasePolicy:
    return BasePolicy(SPEC, TINY, BottleneckSettings(dz=4, hidden=32))


def test_a_large_network_gets_all_cores_but_those_that_real_arms_need_meanwhile() -> None:
    def usual(*, large: bool, simulated: bool, overlap: bool = False) -> int:
        return usual_threads(large=large, small=1, simulated=simulated, overlap=overlap)

    assert usual(large=False, simulated=True) == 1
    assert usual(large=True, simulated=True) == 8
    assert usual(large=True, simulated=False) == 7
    assert usual(large=True, simulated=False, overlap=True) == 6


def test_a_session_keeps_its_number_until_it_is_told_or_lacks_the_cores(base: BasePolicy) -> None:
    def chosen(options: EngineOptions, recorded: int) -> tuple[int, tuple[str, ...]]:
        return decision_threads(base, options, recorded, simulated=True, overlap=False)

    assert chosen(OPTIONS, 0) == (1, ())
    assert chosen(OPTIONS, 4) == (4, ())
    assert chosen(EngineOptions(decision_threads=2), 4) == (2, ())
    number, (sentence,) = chosen(OPTIONS, 12)
    assert number == 1 and "12 CPU threads" in sentence and "8 cores" in sentence


def test_the_journal_holds_it_and_a_resumed_session_computes_with_it(
    session: SessionFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("policy.base.LARGE", 1)
    monkeypatch.setattr("station.session.engine.decision_threads.cores", lambda: 2)
    before, used = torch.get_num_threads(), []

    def run(episodes: int) -> None:
        options = EngineOptions(headless=True, autopilot=True, episodes=episodes)
        with session.writing():
            parts = compose(session, options, StopLatch(session.latch))
            used.append(parts.decision_threads)
            with Engine(session, parts, options, latch=StopLatch(session.latch)) as engine:
                engine.run()

    run(1)
    monkeypatch.setattr("station.session.engine.decision_threads.cores", lambda: 8)
    run(2)
    assert used == [2, 2] and recorded_threads(session) == 2 and torch.get_num_threads() == before
    opened = Journal(session.journal).ledger().lines_of(SessionOpened)
    assert [line.record.decision_threads for line in opened[-2:]] == [2, 2]
