"""Verdicts: what is asked at every tick is carried along, and equals what a look at every episode gives."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from datasets.episode import EpisodeKind, Outcome
from datasets.randomness import stream
from station.session.state import Counted, Verdict, Verdicts, episode_id

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
