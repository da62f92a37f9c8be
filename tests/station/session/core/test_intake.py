"""A press that is taken in late: what it may still do, and what its presser is told."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import pytest

from datasets.episode import Outcome
from station.session.core.events import Envelope, Go, Label, OperatorEvent, Pause, Rearm, Resume
from station.session.core.intake import objection
from station.session.core.state import Rules, State
from station.session.engine.engine import Engine
from station.session.link.client import Client
from station.session.link.server import Link
from station.session.snapshot import Phase
from tests.station.session.answering import answering, go
from tests.station.session.driving import until
from tests.station.session.fakes import make_folder, make_parts

FIRST = "online-000000"


def pressed(event: OperatorEvent, seconds: float) -> Envelope:
    """So long ago."""
    return Envelope(number=1, event=event, pressed=time.monotonic() - seconds)


WAITING = State(phase=Phase.READY, rules=Rules(simulated=False))


@pytest.mark.parametrize("event", [Go(answers=0), Resume(answers=0), Rearm(answers=0)])
def test_an_old_key_starts_and_clears_nothing_and_says_how_old_it_was(
    event: OperatorEvent,
) -> None:
    assert "pressed 23." in objection(pressed(event, 23.0), WAITING)
    assert "press again" in objection(pressed(event, 1.5), WAITING)
    assert objection(pressed(event, -3600.0), WAITING) == ""


def test_the_seconds_that_the_machine_slept_make_a_key_old() -> None:
    key = replace(pressed(Go(answers=0), -3600.0), slept=pressed(Go(answers=0), 0.0).slept - 7200.0)
    assert "pressed 3" in objection(key, WAITING)


def test_a_brake_is_never_too_old() -> None:
    assert objection(pressed(Pause(), 60.0), WAITING) == ""


def test_an_old_verdict_counts_except_where_a_real_arm_would_go_home_after_it() -> None:
    label = pressed(Label(episode=FIRST, outcome=Outcome.SUCCESS), 60.0)
    assert objection(label, WAITING) == ""
    assert "press again" in objection(label, replace(WAITING, phase=Phase.LABEL))


def test_a_key_that_waited_while_the_engine_hung_is_refused_and_its_front_end_told(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "s")
    link = Link(folder)
    with Engine(folder, make_parts(folder), link=link) as engine:
        client = Client.connect(folder.path)
        until(engine, lambda: engine.state.phase is Phase.READY)
        number = client.send(answering(go(), engine.state), pressed=time.monotonic() - 20.0)
        until(engine, lambda: any(ack.number == number for ack in client.acks))
        assert "pressed 2" in client.acks[-1].refused and "press again" in client.acks[-1].refused
        assert engine.state.phase is Phase.READY
        client.close()
    link.close()
