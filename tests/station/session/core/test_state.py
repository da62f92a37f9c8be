"""Verdicts: what is asked at every tick is carried along, and equals what a look at every episode gives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from datasets.episode import EpisodeKind, Outcome
from datasets.randomness import stream
from station.session.core.judging import shown_episode
from station.session.core.state import Counted, Round, Slot, State, Verdict, Verdicts, episode_id
from station.session.engine.instructions import instruction
from station.session.snapshot import Phase

KINDS, OUTCOMES = tuple(EpisodeKind), (None, *Outcome)


def _drawn(rng: np.random.Generator) -> tuple[str, Verdict]:
    kind, ordinal = KINDS[int(rng.integers(3))], int(rng.integers(8))
    outcome = OUTCOMES[int(rng.integers(len(OUTCOMES)))]
    void = bool(rng.integers(4) == 0)
    return episode_id(kind, ordinal), Verdict(kind=kind, chunks=ordinal + 1, outcome=outcome, void=void)


def _counted(verdicts: Mapping[str, Verdict]) -> Counted:
    online = [v for v in verdicts.values() if v.kind is EpisodeKind.ONLINE and not v.void]
    return Counted(episodes=len(online), chunks=sum(verdict.chunks for verdict in online))


def test_what_is_carried_along_equals_what_is_counted_after_any_history() -> None:
    rng = stream(5, "history")
    plain = dict(_drawn(rng) for _ in range(10))
    verdicts = Verdicts(dict(plain))
    for _ in range(400):
        name, verdict = _drawn(rng)
        before, kept = verdicts, dict(verdicts)
        verdicts, plain[name] = verdicts.having(name, verdict), verdict
        assert dict(before) == kept, "an earlier state is not touched"
        assert verdicts == plain and list(verdicts) == list(plain) and len(verdicts) == len(plain)
        assert verdicts.counted == _counted(plain)
        assert set(verdicts.pending) == {known for known, one in plain.items() if one.pending}
        assert verdicts.pending == Verdicts(dict(plain)).pending, "a restart asks in the same order"


def test_the_label_that_is_asked_for_is_that_of_the_episode_which_the_keys_mean() -> None:
    waiting = Verdict(kind=EpisodeKind.ONLINE, chunks=1)
    names = [episode_id(EpisodeKind.ONLINE, ordinal) for ordinal in range(4)]
    slots = tuple(
        Slot(episode=name, kind=EpisodeKind.ONLINE, ordinal=ordinal, layout=ordinal, row=ordinal)
        for ordinal, name in enumerate(names)
    )
    state = State(phase=Phase.LABEL, last=names[3], round=Round(slots=slots[2:], batch=2))
    for undone, meant in ((names[:1], names[0]), (names[::3], names[3]), (names[::-1], names[2])):
        verdicts = Verdicts()
        for name in names:
            verdicts = verdicts.having(name, replace(waiting, outcome=Outcome.SUCCESS))
        for name in undone:
            verdicts = verdicts.having(name, waiting)
        asked = replace(state, verdicts=verdicts)
        assert shown_episode(asked) == meant
        assert f"How did {meant} end" in instruction(asked)
