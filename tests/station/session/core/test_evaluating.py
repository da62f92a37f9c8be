"""An evaluation that was asked for can be withdrawn, a running one ended early; a goal is neither lost nor dropped."""

from __future__ import annotations

from pathlib import Path

import pytest

from datasets.journal.journal import Journal
from datasets.journal.records import EvaluationEnded
from station.session.core.effects import BeginHoming, CloseEvaluation, Effect, Refuse, Say
from station.session.core.events import (
    Checkpointed,
    EndEvaluation,
    EvaluateNow,
    Homed,
    Leave,
    Pause,
    PreflightDone,
    Restore,
    Tick,
    UpdateDone,
    Void,
    WithdrawEvaluation,
)
from station.session.engine.checkpoint import BEST, Checkpoints
from station.session.engine.engine import Engine
from station.session.snapshot import Phase
from station.session.status import count, to_json
from tests.station.session.answering import go, resume
from tests.station.session.core.test_machine import FIRST, SECOND, Session, ended, learning, ready, rolling
from tests.station.session.driving import until
from tests.station.session.fakes import headless, make_folder

EVALUATED = "evaluation-000000"


def evaluating(**rules: object) -> Session:
    """Two of three evaluation episodes remain, and the next is ready."""
    session = ready(evaluation_episodes=3, **rules)
    session.send(EvaluateNow(), go(), ended(FIRST), Tick(now=10.0), UpdateDone(policy_version=1))
    session.send(Checkpointed(), Homed(), go(), ended(EVALUATED), Tick(now=20.0), Homed())
    assert session.phase is Phase.READY and session.state.block is not None
    return session


def closed(effects: list[Effect]) -> list[tuple[int, int]]:
    """(done, wanted) of the blocks that these orders close."""
    return [(order.done, order.block.n) for order in effects if isinstance(order, CloseEvaluation)]


def test_an_evaluation_that_was_asked_for_can_be_withdrawn() -> None:
    session = rolling()
    session.send(EvaluateNow(episodes=5), WithdrawEvaluation(), ended(FIRST), Tick(now=3.0))
    session.send(UpdateDone(policy_version=1), Checkpointed())
    assert session.state.block is None
    assert session.state.next_slots[0].episode == SECOND


def test_what_nobody_asked_for_is_not_withdrawn() -> None:
    for session in (rolling(), evaluating()):
        (said,) = session.send(WithdrawEvaluation())
        assert isinstance(said, Refuse) and "Nothing to withdraw" in said.text


def test_a_block_that_waits_for_its_next_episode_ends_at_once_and_keeps_what_is_done() -> None:
    session = evaluating()
    assert closed(session.send(EndEvaluation())) == [(1, 3)]
    assert session.state.block is None and session.state.next_slots[0].episode == SECOND
    assert EVALUATED in session.state.verdicts


def test_a_block_whose_episode_moves_ends_after_it() -> None:
    session = evaluating()
    session.send(go())
    assert closed(session.send(EndEvaluation())) == []
    (said,) = session.send(EndEvaluation())
    assert isinstance(said, Refuse) and "ends already" in said.text
    session.send(ended("evaluation-000001"))
    assert closed(session.send(Tick(now=30.0))) == [(2, 3)]


def test_a_block_that_is_ended_during_its_last_episode_is_a_complete_one() -> None:
    session = evaluating()
    session.send(go(), ended("evaluation-000001"), Tick(now=30.0), Homed(), go(), EndEvaluation())
    session.send(ended("evaluation-000002"))
    assert closed(session.send(Tick(now=40.0))) == [(3, 3)]


def test_a_block_that_is_ended_while_paused_ends_when_the_pause_does() -> None:
    session = evaluating()
    session.send(Pause(), EndEvaluation())
    assert session.phase is Phase.PAUSED
    assert closed(session.send(resume())) == [(1, 3)]


def test_a_real_arm_still_arrives_at_home_when_its_evaluation_ends_on_the_way() -> None:
    session = rolling(simulated=False, evaluation_episodes=3)
    session.send(EvaluateNow(), ended(FIRST), Tick(now=10.0), Homed(), UpdateDone(policy_version=1))
    session.send(Checkpointed(), go(), ended(EVALUATED), Tick(now=20.0))
    assert session.phase is Phase.HOMING
    session.send(Pause(), EndEvaluation())
    assert any(isinstance(order, BeginHoming) and order.slots for order in session.send(resume()))
    assert closed(session.send(Homed())) == [(1, 3)]


def test_nothing_ends_where_no_evaluation_runs() -> None:
    (said,) = ready().send(EndEvaluation())
    assert isinstance(said, Refuse) and "No evaluation is running" in said.text


# --- goals --------------------------------------------------------------------------------------------------------


def finished(**rules: object) -> Session:
    session = learning(episodes=1, **rules)
    session.send(Homed()) if session.phase is Phase.HOMING else None
    session.send(UpdateDone(policy_version=1), Checkpointed())
    assert session.phase is Phase.FINISHED
    return session


def test_a_void_after_the_goal_was_reached_opens_it_again() -> None:
    session = finished()
    session.send(Void(episode=FIRST), PreflightDone(), Homed(), go())
    assert session.state.running == {SECOND}
    session.send(ended(SECOND), Tick(now=9.0), UpdateDone(policy_version=2), Checkpointed())
    assert session.phase is Phase.FINISHED, "and then it is reached"


def test_a_void_of_a_real_session_moves_nothing_by_itself_and_go_keeps_the_goal() -> None:
    session = finished(simulated=False)
    assert not any(isinstance(order, BeginHoming) for order in session.send(Void(episode=FIRST)))
    assert session.phase is Phase.FINISHED and "Below the goal" in session.state.reason
    session.send(go(), PreflightDone(), Homed(), go())
    assert session.state.running == {SECOND} and not session.state.beyond_goal


def test_go_at_the_goal_goes_on_beyond_it_in_words_and_keeps_it() -> None:
    session = finished()
    assert any(isinstance(order, Say) and "beyond" in order.text for order in session.send(go()))
    session.send(PreflightDone(), Homed())
    assert session.phase is Phase.READY and session.state.rules.episodes == 1
    session.send(Void(episode=FIRST))
    session.send(go(), ended(SECOND), Tick(now=9.0), UpdateDone(policy_version=2), Checkpointed())
    assert session.phase is Phase.FINISHED, "the void took the count below the goal, and one more reached it"


def test_an_episode_that_comes_back_reaches_the_goal_again() -> None:
    session = finished()
    session.send(Void(episode=FIRST), Restore(episode=FIRST), PreflightDone())
    assert session.phase is Phase.FINISHED


# --- on the disk --------------------------------------------------------------------------------------------------


def in_a_block(engine: Engine) -> bool:
    return engine.state.block is not None and len(count_of(engine)) == 1


def count_of(engine: Engine) -> list[str]:
    return [name for name in engine.state.verdicts if name.startswith("evaluation")]


@pytest.mark.parametrize("killed", [False, True])
def test_a_block_that_was_ended_early_is_marked_as_such_and_is_never_the_best(
    tmp_path: Path, killed: bool
) -> None:
    folder = make_folder(tmp_path / "s")
    with headless(folder, episodes=6) as engine:
        until(engine, lambda: in_a_block(engine))
        if killed:
            engine.post(EndEvaluation())
            engine.post(Leave())
        else:
            engine.post(EndEvaluation())
        engine.run()
    if killed:
        with headless(folder, episodes=6) as again:
            again.run()
    (point,) = count(folder).evaluations
    assert point.early and point.rate.n < point.wanted == 3
    assert to_json(count(folder), "")["eval"][0]["ended_early"]
    assert not Checkpoints(folder.steering).path(BEST).exists()
    (end,) = Journal(folder.journal).ledger().lines_of(EvaluationEnded)
    assert end.record.early and end.record.done == point.rate.n
