"""Records that two processes share: whole or not at all, whoever is killed in the middle."""

from __future__ import annotations

import math

import numpy as np
import pytest

from hardware.mailbox import _FIRST_SLOT, Heartbeat, Mailbox
from hardware.plan import TimedPlan
from hardware.wire import MOST_WAYPOINTS, ORDER_SIZE, REPORT_SIZE, Cause, Mode, Order, Report


def test_the_newest_record_is_read_and_older_ones_while_they_last() -> None:
    box = Mailbox(size=8, slots=3)
    assert box.newest() is None
    for number in range(1, 6):
        assert box.post(bytes([number])) == number
    assert box.newest() == (5, b"\x05")
    assert [box.read(number) for number in range(2, 7)] == [None, b"\x03", b"\x04", b"\x05", None]
    box.close()


def test_both_ends_see_the_same_memory() -> None:
    box = Mailbox(size=8)
    other = Mailbox(size=8, descriptor=box.descriptor)
    box.post(b"hello")
    assert other.newest() == (1, b"hello")


def test_a_record_that_is_being_overwritten_is_not_read() -> None:
    box = Mailbox(size=8, slots=2)
    box.post(b"first")
    box.post(b"second")
    begin = _FIRST_SLOT + 0 * box._stride + 16  # the second record lies in slot 0
    box._map[begin : begin + 3] = b"xxx"
    assert box.read(2) is None
    assert box.read(1) == b"first"


def test_a_record_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="does not fit"):
        Mailbox(size=4).post(b"hello")


def test_a_heartbeat_is_seen_at_the_other_end() -> None:
    heart = Heartbeat()
    other = Heartbeat(heart.descriptor)
    assert other.last == 0.0
    heart.beat(12.5)
    assert other.last == 12.5


def test_a_plan_arrives_as_it_was_posted() -> None:
    rng = np.random.default_rng(0)
    plan = TimedPlan(
        time=np.arange(24.0),
        position=rng.random((24, 3)),
        quaternion=rng.random((24, 4)),
        gripper=rng.random(24),
    )
    read = Order.decode(Order(plan=plan, given=3.5).encode())
    assert read.given == 3.5 and read.plan is not None
    for name in ("time", "position", "quaternion", "gripper"):
        np.testing.assert_array_equal(getattr(read.plan, name), getattr(plan, name))
    assert Order.decode(Order(plan=None, given=1.0).encode()).plan is None


def test_the_longest_plan_fits_and_a_longer_one_is_refused() -> None:
    def plan(n: int) -> TimedPlan:
        return TimedPlan(
            time=np.arange(float(n)),
            position=np.zeros((n, 3)),
            quaternion=np.zeros((n, 4)),
            gripper=np.zeros(n),
        )

    assert len(Order(plan=plan(MOST_WAYPOINTS), given=0.0).encode()) == ORDER_SIZE
    with pytest.raises(ValueError, match="at most"):
        Order(plan=plan(MOST_WAYPOINTS + 1), given=0.0).encode()


def test_a_report_arrives_as_it_was_written_and_a_long_text_is_cut() -> None:
    report = Report(
        time=1.0, interval=0.01, mode=Mode.FAULT, cause=Cause.STOP, order=3, dropped=2, homings=1, late=4,
        overruns=5, interventions=6, moving=True, stop_since=0.5, last_motion=0.6, order_delay=0.01,
        measured_time=0.99, measured_position=np.arange(3.0), measured_quaternion=np.arange(4.0),
        joints=np.arange(6.0), measured_gripper=0.5, position=np.arange(3.0), quaternion=np.arange(4.0),
        velocity=np.arange(3.0), gripper=math.nan, reasons=np.arange(5.0), text="Größe " * 200,
    )  # fmt: skip
    data = report.encode()
    read = Report.decode(data)
    assert len(data) == REPORT_SIZE
    assert (read.mode, read.cause, read.moving, read.late) == (Mode.FAULT, Cause.STOP, True, 4)
    np.testing.assert_array_equal(read.joints, report.joints)
    np.testing.assert_array_equal(read.reasons[:5], report.reasons)
    assert read.text.startswith("Größe ") and len(read.text) > 400
