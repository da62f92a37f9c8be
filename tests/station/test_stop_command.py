from __future__ import annotations

from hardware.latch import StopLatch
from station.session.folder import SessionFolder
from tests.station.conftest import Station


def test_a_session_is_stopped_from_any_terminal_without_an_engine(
    station: Station, session: SessionFolder
) -> None:
    latch = StopLatch(session.latch)
    assert not latch.latched
    done = station("stop", session.path)
    assert done.exit_code == 0, done.output
    assert latch.latched
    first = latch.since
    station("stop", session.path)
    assert latch.since == first
    latch.close()


def test_stopping_a_session_that_does_not_exist_names_the_nearest(station: Station) -> None:
    done = station("stop", "no-such-session")
    assert done.exit_code == 2
    assert "There is no session" in done.output
