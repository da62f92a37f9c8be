"""The check of a camera's driver passes one that keeps the contract, and names the rule that another one breaks."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from hardware.cameras.interface import Camera, CameraError, Frame
from hardware.device import Device
from station.testing import check_camera
from tests.hardware.fakes import FakeCamera, FakeCameraSettings, Switch, Switchboard


def standing() -> Callable[[Any], float]:
    """The stamp of the first report, for ever."""
    first: list[float] = []

    def stamp(true: Any) -> float:
        first.append(true.time)
        return first[0]

    return stamp


class TestedCameraSettings(FakeCameraSettings):
    """Builds what a test wants built."""

    __test__ = False
    built: ClassVar[type[FakeCamera]] = FakeCamera
    driver: str = f"{__name__}:TestedCameraSettings"
    fps: float = 500.0
    here: bool = True

    def build(self) -> Camera:
        return self.built(self) if self.here else Absent(self)


class Absent(FakeCamera):
    def open(self) -> str:
        raise CameraError(f"{self.name}: there is no camera 42. Plug it in.")


@pytest.fixture
def check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    def run(kind: type[FakeCamera], **absent: Any) -> None:
        path = tmp_path / "board"
        board = Switchboard(path)

        @contextmanager
        def unreachable() -> Iterator[None]:
            board[Switch.CAMERA] = 1.0
            yield
            board[Switch.CAMERA] = 0.0

        monkeypatch.setattr(TestedCameraSettings, "built", kind)
        check_camera(
            TestedCameraSettings(name="third", switchboard=path),
            absent=TestedCameraSettings(name="third", switchboard=path, **{"here": False, **absent}),
            unreachable=unreachable,
            frames=4,
        )

    return run


def altered(**changes: Callable[[Frame], Any]) -> Callable[[FakeCamera, float], Frame]:
    def read(self: FakeCamera, timeout: float) -> Frame:
        true = FakeCamera.read(self, timeout)
        return replace(true, **{name: change(true) for name, change in changes.items()})

    return read


def growing(frame: Frame) -> Any:
    return np.zeros((30 + frame.number, 32, 3), np.uint8)


SHARED = np.zeros((32, 32, 3), np.uint8)


def only_once(self: FakeCamera) -> None:
    if self._number == -1:
        raise RuntimeError("stop() was called twice")
    self._number = -1


BROKEN: dict[str, tuple[dict[str, Any], str]] = {
    "no identity": ({"open": lambda _: ""}, "no identity"),
    "another name": ({"name": property(lambda _: "wrist", lambda *_: None)}, "its name is 'wrist'"),
    "a device in words": ({"device": lambda _: "D435"}, "device returns str"),
    "a device that is no JSON": (
        {"device": lambda _: Device(settings={"gain": float("nan")})},
        "finite JSON",
    ),
    "floats": ({"read": altered(image=lambda true: true.image / 255.0)}, "an image is float64"),
    "no colour": ({"read": altered(image=lambda true: true.image[..., 0])}, "not uint8"),
    "another size": ({"read": altered(image=growing)}, "images change their size"),
    "one buffer": ({"read": altered(image=lambda _: SHARED)}, "share their memory"),
    "the wall clock": ({"read": altered(time=lambda _: time.time() + 1e9)}, "seconds on that clock"),
    "one stamp for ever": ({"read": altered(time=standing())}, "before the last one or equal"),
    "no counting": ({"read": altered(number=lambda _: 7)}, "numbers count upwards"),
    "closing once only": ({"close": only_once}, "close twice raises RuntimeError"),
}


def test_a_camera_that_keeps_the_contract_passes(check: Callable[..., None]) -> None:
    check(FakeCamera)


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_rule_is_named(check: Callable[..., None], name: str) -> None:
    methods, words = BROKEN[name]
    with pytest.raises(AssertionError, match=words) as caught:
        check(type("Broken", (FakeCamera,), methods))
    assert "hardware.cameras.interface.Camera" in str(caught.value)


def test_one_that_is_not_there_must_be_refused(check: Callable[..., None]) -> None:
    with pytest.raises(AssertionError, match="open of a camera that is not there raises nothing"):
        check(FakeCamera, here=True)


def test_silence_without_a_remedy_is_named(check: Callable[..., None]) -> None:
    class Curt(FakeCamera):
        def read(self, timeout: float) -> Frame:
            try:
                return super().read(timeout)
            except CameraError as error:
                raise CameraError(f"{self.name}: time-out") from error

    with pytest.raises(AssertionError, match="does not say what to do now"):
        check(Curt)
