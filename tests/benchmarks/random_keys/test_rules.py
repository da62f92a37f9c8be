"""What explains a motion and a label, and what does not: the rules of the benchmark of random keys."""

from __future__ import annotations

from dataclasses import replace

import pytest

from datasets.episode import Outcome
from datasets.journal.journal import Line
from datasets.journal.records import Labelled, Record
from tests.benchmarks.random_keys import rules
from tests.benchmarks.random_keys.log import Halt, Log, Press, Shot
from tests.benchmarks.random_keys.screens import badge, named, tells_of

_R = Press(at=20.0, screen=0, key="r", badge="READY", named=["online-000000"], held=False)
_SCREEN = """ session  tiny                                             0 episodes
    READY      Lay the scene out, step back, press r: it moves.
               Labels go to online-000003: success          v not now – online-000003 came up only 0.1 s before
 ─third · live───────────────────────────────── ─log─────────────────────────────
                                                 online-000001: success, by operator
"""


def _shot(at: float, phase: str, question: int = 0, pid: int = 1) -> Shot:
    return Shot(at=at, pid=pid, phase=phase, question=question, stopped=False, episode=None)


def _log(*presses: Press, halts: tuple[Halt, ...] = ()) -> Log:
    """Home at 10 s, READY, an episode from 20.2 s to 25 s, its label, home until 31 s, READY."""
    phases = (
        (10.0, "homing"),
        (15.0, "ready"),
        (20.2, "rollout"),
        (25.0, "label"),
        (28.0, "homing"),
        (31.0, "ready"),
    )
    shots = [_shot(at, phase, question) for question, (at, phase) in enumerate(phases)] + [
        _shot(60.0, "ready", 5)
    ]
    moves = [*_between(10.2, 13.0), *_between(20.4, 25.2), *_between(28.1, 30.5)]
    return Log(presses=[*presses], shots=shots, poses=[(5.0, [0.0]), *moves], starts=[1.0], halts=[*halts])


def _between(begin: float, end: float) -> list[tuple[float, list[float]]]:
    steps = round((end - begin) / 0.05)
    return [(begin + 0.05 * step, [0.01 * (step % 2)]) for step in range(steps)]


def _odd(log: Log) -> list[str]:
    return [motion.odd for motion in rules.motions(log, rules.runs(log)) if motion.odd]


def test_an_episode_that_was_asked_for_and_the_way_home_behind_it_are_explained() -> None:
    log = _log(_R)
    assert _odd(log) == [] and rules.causeless(rules.runs(log)) == []
    causes = [run.cause for run in rules.runs(log) if run.cause]
    assert causes == ["an engine's start", "r at READY", "home behind an episode"]


@pytest.mark.parametrize(
    "press",
    [
        replace(_R, at=17.0),
        replace(_R, at=21.0),
        replace(_R, at=15.2),
        replace(_R, key="s"),
        replace(_R, badge="FAULT"),
        replace(_R, badge=""),
        replace(_R, held=True),
    ],
)
def test_an_old_late_hasty_or_other_press_explains_no_episode(press: Press) -> None:
    log = _log(press)
    assert rules.causeless(rules.runs(log)) == ["rollout at 20.2", "homing at 28.0"]
    assert len(_odd(log)) == 2


def test_a_press_on_an_engine_that_hung_for_long_explains_nothing() -> None:
    halt = Halt(begin=19.0, end=21.5, who="engine")
    assert _odd(_log(_R, halts=(halt,)))
    assert not _odd(_log(_R, halts=(replace(halt, who="attach"),)))
    assert _odd(_log(_R, halts=(replace(halt, who="run"),)))


def test_a_motion_that_began_just_before_the_engine_was_suspended_needs_its_cause_too() -> None:
    def cut_short(*presses: Press, motion: float = 20.4) -> Log:
        log = _log(*presses, halts=(Halt(begin=20.5, end=30.0, who="engine"),))
        log.shots = [shot for shot in log.shots if shot.at < 20.0] + [_shot(30.0, "fault", 2)]
        log.poses = [(5.0, [0.0]), *_between(10.2, 13.0), *_between(motion, motion + 1.5)]
        return log

    assert _odd(cut_short(_R)) == []
    assert len(_odd(cut_short())) == 1
    assert len(_odd(cut_short(replace(_R, held=True)))) == 1
    assert len(_odd(cut_short(_R, motion=21.0))) == 1


def test_a_motion_at_rest_and_one_that_does_not_end_are_found() -> None:
    log = _log(_R)
    log.poses += _between(40.0, 41.0)
    assert _odd(log) == ["at 40.0: in ready"]
    log = _log(_R)
    log.poses += _between(30.5, 34.0)
    assert len(_odd(log)) == 1


def test_an_engine_that_nobody_started_moves_no_arm() -> None:
    log = _log(_R)
    log.shots += [_shot(70.0, "homing", 0, pid=2), _shot(73.0, "ready", 1, pid=2)]
    assert rules.causeless(rules.runs(log)) == ["homing at 70.0"]
    log.presses.append(replace(_R, at=62.0, key="Enter", badge="NO ENGINE"))
    assert rules.causeless(rules.runs(log)) == []


def _label(episode: str, at: float, outcome: Outcome | None = None, by: str = "operator") -> Line[Record]:
    return Line(seq=1, time=at, record=Labelled(episode=episode, outcome=outcome, by=by))


def test_a_label_needs_its_own_key_on_a_screen_that_named_its_episode_just_then() -> None:
    success = _label("online-000000", 21.0, outcome=Outcome.SUCCESS)
    press = replace(_R, key="s")
    assert rules.judgements([success], Log(presses=[press]))[1] == []
    for wrong in (
        replace(press, key="f"),
        replace(press, at=10.0),
        replace(press, at=22.0),
        replace(press, named=["online-000001"]),
        replace(press, held=True),
    ):
        assert len(rules.judgements([success], Log(presses=[wrong]))[1]) == 1


def test_undo_may_take_back_the_newest_judgement_and_no_older_one() -> None:
    older, newest = (
        _label("online-000000", 5.0, outcome=Outcome.SUCCESS, by="x"),
        _label("online-000001", 6.0, by="x"),
    )
    undo = replace(_R, key="u", named=[])
    taken = _label("online-000001", 21.0, outcome=None)
    assert rules.judgements([older, newest, taken], Log(presses=[undo]))[1] == []
    assert rules.judgements([newest, older, taken], Log(presses=[undo]))[1] != []


def test_undo_answers_the_journal_of_when_it_was_pressed() -> None:
    older = _label("online-000001", 6.0, by="x")
    undo = replace(_R, key="u", named=[])
    taken = _label("online-000001", 21.0, outcome=None)
    meanwhile = _label("online-000002", 20.5, by="x")
    assert rules.judgements([older, meanwhile, taken], Log(presses=[undo]))[1] == []
    later = _label("online-000002", 21.0, outcome=None)
    assert rules.judgements([older, meanwhile, later], Log(presses=[undo]))[1] != []


def test_what_a_screen_names_stands_in_its_headline_and_not_in_its_log() -> None:
    assert badge(_SCREEN) == "READY" and named(_SCREEN) == ["online-000003"]
    assert tells_of(_SCREEN, "v") and not tells_of(_SCREEN, "r")
