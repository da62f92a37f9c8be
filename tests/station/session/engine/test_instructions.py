from __future__ import annotations

import re
from dataclasses import replace

import pytest

from datasets.episode import EpisodeKind, Outcome
from station.session.core.state import State, Verdict, Verdicts
from station.session.engine.instructions import instruction
from station.session.snapshot import Phase

WAITING = Verdict(kind=EpisodeKind.ONLINE, chunks=1)
SITUATIONS = (
    State(),
    State(autopilot=True),
    State(stopped=True),
    State(disk_full=True),
    State(recoverable=False),
    State(running=frozenset({"online-000000"})),
    State(verdicts=Verdicts({"online-000000": WAITING, "online-000001": WAITING})),
    State(verdicts=Verdicts({"online-000000": replace(WAITING, outcome=Outcome.SUCCESS)})),
)
KEYS = re.compile(r"\b(press|key|[b-z]|ctrl|space)\b(?!')", re.IGNORECASE)
"""A letter on its own, apart from the article, is somebody's default key."""


@pytest.mark.parametrize("phase", list(Phase))
@pytest.mark.parametrize("state", SITUATIONS)
def test_the_session_names_actions_because_only_a_front_end_knows_the_keys(
    phase: Phase, state: State
) -> None:
    said = instruction(replace(state, phase=phase))
    assert said
    assert KEYS.sub("", said.replace("free some space", "")) == said.replace("free some space", ""), said
