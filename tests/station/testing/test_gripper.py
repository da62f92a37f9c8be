"""The check of a gripper's driver passes one that keeps the contract, and names the rule that another one breaks."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest

from hardware.grippers.interface import Grasp, Gripper, GripperError, GripperState
from hardware.settings import ArmSettings
from station.testing import check_gripper
from tests.hardware.fakes import FakeArmSettings, FakeGripper, FakeGripperSettings, Switch, Switchboard


def standing() -> Callable[[Any], float]:
    """The stamp of the first report, for ever."""
    first: list[float] = []

    def stamp(true: Any) -> float:
        first.append(true.time)
        return first[0]

    return stamp


class TestedGripperSettings(FakeGripperSettings):
    """Builds what a test wants built."""

    __test__ = False
    built: ClassVar[type[FakeGripper]] = FakeGripper
    driver: str = f"{__name__}:TestedGripperSettings"

    def build(self, arm: ArmSettings) -> Gripper:
        return self.built(f"{arm.name} {self.name}", self.switchboard)


@pytest.fixture
def check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    def run(kind: type[FakeGripper], patience: float = 0.2) -> None:
        path = tmp_path / "board"
        board = Switchboard(path)

        @contextmanager
        def unreachable() -> Iterator[None]:
            board[Switch.GRIPPER_LINK] = 1.0
            yield
            board[Switch.GRIPPER_LINK] = 0.0

        monkeypatch.setattr(TestedGripperSettings, "built", kind)
        arm = FakeArmSettings(name="left", switchboard=path)
        check_gripper(
            TestedGripperSettings(switchboard=path), arm, unreachable=unreachable, patience=patience
        )

    return run


def altered(**changes: Any) -> Callable[[FakeGripper], GripperState]:
    def state(self: FakeGripper) -> GripperState:
        true = FakeGripper.state(self)
        return replace(true, **{name: c(true) if callable(c) else c for name, c in changes.items()})

    return state


def unclipped(self: FakeGripper, width: float) -> None:
    if not 0.0 <= width <= self.max_width:
        raise GripperError(f"{self.name}: {width} is too far. Ask for less.")
    FakeGripper.move(self, width)


def failing_twice(self: FakeGripper) -> None:
    if not self._connected:
        raise OSError("bad file descriptor")
    self._connected = False


def terse(self: FakeGripper) -> GripperState:
    try:
        return FakeGripper.state(self)
    except GripperError as error:
        raise GripperError("no answer") from error


BROKEN: dict[str, tuple[dict[str, Any], str]] = {
    "millimetres of stroke": ({"max_width": 85.0}, "max_width is 85; it is in metres"),
    "no identity": ({"connect": lambda self: FakeGripper.connect(self) and ""}, "no identity"),
    "a share for a width": ({"state": altered(width=lambda true: true.width / 0.08)}, "from 0 to max_width"),
    "a word for a grasp": ({"state": altered(grasp="nothing")}, "no Grasp"),
    "a fault in health": ({"state": altered(fault="G11")}, "reports the fault 'G11'"),
    "the wall clock": ({"state": altered(time=lambda _: time.time() + 1e9)}, "seconds on that clock"),
    "one stamp for ever": ({"state": altered(time=standing())}, "the time stamp of its state stands still"),
    "fingers that stand": ({"move": lambda *_: None}, "its width never was"),
    "fingers that never rest": ({"state": altered(grasp=Grasp.MOVING)}, "its width never was"),
    "no clipping": ({"move": unclipped}, "which is clipped to 0.* it must not raise"),
    "closing once only": ({"close": failing_twice}, "close before connect raises OSError"),
    "a report when closed": ({"close": lambda _: None}, "state after close raises nothing"),
    "no remedy": ({"state": terse}, "does not say what to do now"),
}


def test_a_gripper_that_keeps_the_contract_passes(check: Callable[..., None]) -> None:
    check(FakeGripper, patience=20.0)


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_rule_is_named(check: Callable[..., None], name: str) -> None:
    methods, words = BROKEN[name]
    with pytest.raises(AssertionError, match=words) as caught:
        check(type("Broken", (FakeGripper,), methods))
    assert "hardware.grippers.interface.Gripper" in str(caught.value)


def test_a_lost_link_that_is_not_told_is_named(check: Callable[..., None]) -> None:
    class Hopeful(FakeGripper):
        def _speak(self) -> None:
            if not self._connected:
                super()._speak()

    with pytest.raises(AssertionError, match="state while it does not answer raises nothing"):
        check(Hopeful)
