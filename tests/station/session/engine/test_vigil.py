"""When a look at the devices is news: what they report at once, silence only when it lasts."""

from __future__ import annotations

from dataclasses import replace

from hardware.cell import Check
from station.session.engine.vigil import LASTING, LOOK_EVERY, Vigil

FAULT = Check(name="arm left", ok=False, detail="left: collision (code C31)", remedy="Free the arm.")
STEP = 0.125
"""s, exact in binary."""
SILENCE = Check(name="camera wrist", ok=False, detail="newest frame 0.35 s old", silent=True)


class Watched:
    """Devices that a test breaks, and a clock that it moves."""

    def __init__(self) -> None:
        self.now = 100.0
        self.found: list[Check] = []
        self.looks = 0
        self.vigil = Vigil(self.look, lambda: self.now)

    def look(self) -> list[Check]:
        self.looks += 1
        return self.found

    def after(self, seconds: float) -> str:
        self.now += seconds
        return self.vigil.wrong()


def test_what_a_device_reports_is_said_at_the_next_look() -> None:
    devices = Watched()
    assert devices.after(0.0) == ""
    devices.found = [FAULT]
    assert devices.after(STEP) == "arm left: collision (code C31). Free the arm."


def test_silence_is_said_once_it_has_lasted_and_within_a_second() -> None:
    devices = Watched()
    devices.found = [SILENCE]
    said = [devices.after(STEP) for _ in range(10)]
    first = next(number for number, sentence in enumerate(said) if sentence)
    assert LASTING <= first * STEP < 0.7
    assert "camera wrist" in said[first]


def test_what_was_told_is_not_told_again_and_what_is_new_is() -> None:
    devices = Watched()
    devices.found = [FAULT]
    told = "left: collision (code C31). Free the arm."
    devices.now += STEP
    assert devices.vigil.wrong(told) == ""
    devices.found = [FAULT, replace(FAULT, name="arm right", detail="right: overheated (code C19)")]
    devices.now += STEP
    assert devices.vigil.wrong(told) == "arm right: overheated (code C19). Free the arm."
    devices.found = [FAULT, replace(FAULT, name="arm right", detail="right: collision (code C31)")]
    devices.now += STEP
    assert devices.vigil.wrong(told) == "arm right: collision (code C31). Free the arm.", (
        "the same of another arm"
    )
    lost = "left_gripper: the link is lost"
    devices.found = [replace(FAULT, detail=lost), replace(FAULT, name="arm right", detail=f"right: {lost}")]
    devices.now += STEP
    assert devices.vigil.wrong(f"{lost}. Check the cable.") == "", (
        "an arm reports what its gripper has reported"
    )
    devices.now += STEP
    assert devices.vigil.wrong(f"arm left: {lost}.") == f"arm right: {lost}. Free the arm.", (
        "the same of another arm"
    )
    silent = replace(SILENCE, name="arm left", detail="nothing heard for 0.5 s")
    devices.found = [silent]
    said = ""
    for _ in range(10):
        devices.now += STEP
        said += devices.vigil.wrong(
            "camera wrist_left: newest frame 0.4 s old. Stopped by the operator. Re-arm."
        )
    assert "arm left: nothing heard" in said, "part of another name is no mention"
    devices.found = [SILENCE]
    for _ in range(10):
        devices.now += STEP
        assert devices.vigil.wrong("camera wrist: newest frame 0.31 s old.") == ""


def test_a_frame_that_comes_late_now_and_then_is_no_fault() -> None:
    devices = Watched()
    for turn in range(60):
        devices.found = [SILENCE] if turn % 4 else []
        assert devices.after(STEP) == ""


def test_after_a_suspension_everybody_gets_time_to_speak_again() -> None:
    devices = Watched()
    devices.found = [SILENCE]
    devices.after(0.0)
    assert devices.after(3600.0) == "", "the look before it counts for nothing"
    devices.found = []
    assert devices.after(STEP) == ""


def test_turns_that_follow_quickly_do_not_look_each_time() -> None:
    devices = Watched()
    for _ in range(100):
        devices.after(LOOK_EVERY / 20)
    assert devices.looks <= 6


def test_long_slices_of_learning_hold_up_no_news() -> None:
    devices = Watched()
    devices.found = [SILENCE]
    assert devices.after(0.6) == ""
    assert "camera wrist" in devices.after(0.6)
