"""The check of an arm's driver passes one that keeps the contract, and names the rule that another one breaks."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from hardware.arms.interface import Arm, ArmError, ArmFaultError, ArmState, LimitCheck
from hardware.plan import Command
from station.testing import arm as module
from station.testing import check_arm
from tests.hardware.fakes import FakeArm, FakeArmSettings, Switch, Switchboard


class TestedArmSettings(FakeArmSettings):
    """Builds what a test wants built."""

    __test__ = False
    built: ClassVar[type[FakeArm]] = FakeArm
    driver: str = f"{__name__}:TestedArmSettings"

    def build(self) -> Arm:
        return self.built(self)


@pytest.fixture
def check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    monkeypatch.setattr(module, "_SECONDS", 0.05)

    def run(kind: type[FakeArm], patience: float = 0.3, **changes: Any) -> None:
        board = Switchboard(tmp_path / "board")

        @contextmanager
        def unreachable() -> Iterator[None]:
            board[Switch.LINK] = 1.0
            yield
            board[Switch.LINK] = 0.0

        monkeypatch.setattr(TestedArmSettings, "built", kind)
        check_arm(
            TestedArmSettings(name="left", switchboard=tmp_path / "board", **changes),
            unreachable=unreachable,
            fault=lambda: board.__setitem__(Switch.FAULT, 1.0),
            patience=patience,
        )

    return run


def standing() -> Callable[[Any], float]:
    """The stamp of the first report, for ever."""
    first: list[float] = []

    def stamp(true: Any) -> float:
        first.append(true.time)
        return first[0]

    return stamp


def altered(**changes: Callable[[ArmState], Any]) -> Callable[[FakeArm], ArmState]:
    """`state` with fields computed from the true report."""

    def state(self: FakeArm) -> ArmState:
        true = FakeArm.state(self)
        return replace(true, **{name: change(true) for name, change in changes.items()})

    return state


def following_after_stop(self: FakeArm, command: Command) -> None:
    self._joints[:3] = command.position


def slow(self: FakeArm, command: Command) -> None:
    FakeArm.servo(self, replace(command, position=self._joints[:3]))


def raising(error: Exception) -> Callable[..., None]:
    def fail(*_: object) -> None:
        raise error

    return fail


def mute_when_closed(self: FakeArm) -> ArmState:
    self._connected = True
    return FakeArm.state(self)


def recovering_by_itself(self: FakeArm) -> None:
    self._board[Switch.FAULT] = 0.0
    FakeArm.begin_servo(self)


def vague_fault(self: FakeArm) -> None:
    try:
        FakeArm.begin_servo(self)
    except ArmFaultError as error:
        raise ArmError("left is in error state 31") from error


BROKEN: dict[str, tuple[dict[str, Any], str]] = {
    "closing an unopened one": (
        {"close": raising(KeyError("handle"))},
        "close before connect raises KeyError",
    ),
    "a stop that raises": ({"stop": raising(ArmError("no"))}, "stop before connect raises ArmError"),
    "reports without a connection": ({"state": mute_when_closed}, "state before connect raises nothing"),
    "another number of joints": (
        {"connect": lambda self: replace(FakeArm.connect(self), joints=7)},
        "connect reports 7 joints",
    ),
    "millimetres": ({"state": altered(position=lambda true: true.position * 1000)}, "it is in metres"),
    "degrees": ({"state": altered(joints=lambda true: np.full(6, 90.0))}, "they are in radians"),
    "no unit quaternion": (
        {"state": altered(quaternion=lambda true: 2 * true.quaternion)},
        "has no unit length",
    ),
    "a list for an array": (
        {"state": altered(joints=lambda true: true.joints[:5])},
        r"float64 \[6\] is wanted",
    ),
    "single precision": (
        {"state": altered(position=lambda true: true.position.astype(np.float32))},
        "its position is float32",
    ),
    "the wall clock": ({"state": altered(time=lambda _: time.time() + 1e9)}, "seconds on that clock"),
    "one stamp for ever": ({"state": altered(time=standing())}, "all have one time stamp"),
    "a limit without a remedy": (
        {"limits": lambda _: [LimitCheck(name="payload", ok=False, detail="0 kg")]},
        "'payload' is not ok, without remedy",
    ),
    "an arm that does not follow": ({"servo": slow}, "did not follow poses"),
    "joints that do not follow": ({"servo_joints": lambda *_: None}, "did not follow joint angles"),
    "motion after a stop": ({"servo": following_after_stop}, "after stop it followed a command"),
    "a fault that goes away": (
        {"begin_servo": recovering_by_itself},
        "begin_servo in a fault raises nothing",
    ),
    "a fault by a number alone": (
        {"begin_servo": vague_fault},
        "raises ArmError .* instead of ArmFaultError",
    ),
    "a fault that stays": ({"recover": lambda _: None}, "a fault stays after recover"),
}


def test_an_arm_that_keeps_the_contract_passes(check: Callable[..., None]) -> None:
    check(FakeArm, patience=20.0)


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_rule_is_named(check: Callable[..., None], name: str) -> None:
    methods, words = BROKEN[name]
    with pytest.raises(AssertionError, match=words) as caught:
        check(type("Broken", (FakeArm,), methods))
    assert str(caught.value).startswith("Broken: ") and "hardware.arms.interface.Arm" in str(caught.value)


def test_an_arm_that_moves_while_it_connects_is_named(check: Callable[..., None]) -> None:
    class Creeping(FakeArm):
        def state(self) -> ArmState:
            self._joints[0] += 0.02
            return super().state()

    with pytest.raises(AssertionError, match="connect moves it"):
        check(Creeping)


def test_a_lost_link_without_a_remedy_is_named(check: Callable[..., None]) -> None:
    class Curt(FakeArm):
        def state(self) -> ArmState:
            if self._connected and self._board[Switch.LINK]:
                raise ArmError("left: error -2")
            return super().state()

    with pytest.raises(AssertionError, match="does not say what to do now"):
        check(Curt)


def test_settings_whose_driver_is_another_class_are_named(check: Callable[..., None]) -> None:
    with pytest.raises(
        AssertionError, match=r"set its default to 'tests\.station\.testing\.test_arm:TestedArm"
    ):
        check(FakeArm, driver="my_arm")


def test_a_wrong_flange_is_named(check: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TestedArmSettings, "flange", lambda _, joints: joints)
    with pytest.raises(AssertionError, match="flange does not give poses"):
        check(FakeArm)
