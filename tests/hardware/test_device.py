"""Which device answered: what tells two apart, and what is said of one that changed."""

from __future__ import annotations

from hardware.device import Device, altered, replaced

A = Device(model="C920", serial="A1", firmware="0012", port="USB 1-1", settings={"gain": 4.0})
B = Device(model="C920", serial="B2", firmware="0012", port="USB 1-2", settings={"gain": 4.0})


def test_the_same_devices_are_not_spoken_of_whatever_port_they_are_in() -> None:
    moved = Device(model="C920", serial="A1", firmware="0012", port="USB 2-4", settings={"gain": 4.0})
    assert [*replaced({"camera wrist": A}, {"camera wrist": moved})] == []
    assert [*altered({"camera wrist": A}, {"camera wrist": moved})] == []


def test_another_device_is_named_with_both_serial_numbers() -> None:
    [said] = replaced({"camera wrist": A, "arm left": B}, {"camera wrist": B, "arm left": B})
    assert said == "camera wrist: C920 serial A1 last time, C920 serial B2 now."


def test_two_cameras_that_changed_places_are_called_swapped_and_once() -> None:
    before, now = {"camera wrist": A, "camera front": B}, {"camera wrist": B, "camera front": A}
    assert [*replaced(before, now)] == [
        "camera wrist and camera front are swapped: serial B2 was camera front last time, serial A1 was camera wrist."
    ]


def test_a_serial_number_that_two_share_is_none_and_the_port_tells() -> None:
    one = Device(model="Clone", serial="01.00.00", port="USB 1-1")
    other = Device(model="Clone", serial="01.00.00", port="USB 1-2")
    before, now = {"camera wrist": one, "camera front": other}, {"camera wrist": other, "camera front": one}
    assert [*replaced(before, before)] == []
    [said] = replaced(before, now)
    assert "swapped: port USB 1-2 was camera front" in said


def test_another_model_is_another_device_also_without_serial_numbers() -> None:
    [said] = replaced({"camera wrist": Device(model="C920")}, {"camera wrist": Device(model="C270")})
    assert "C920 last time, C270 now" in said


def test_who_tells_nothing_is_not_accused() -> None:
    assert [*replaced({"camera net": Device(said="somebody")}, {"camera net": A})] == []


def test_firmware_and_settings_that_changed_are_told_of_the_same_device_only() -> None:
    updated = Device(model="C920", serial="A1", firmware="0013", settings={"gain": "automatic"})
    assert [*altered({"camera wrist": A}, {"camera wrist": updated})] == [
        "camera wrist: firmware 0012 last time, 0013 now.",
        "camera wrist: gain 4 last time, automatic now.",
    ]
    assert [*altered({"camera wrist": B}, {"camera wrist": updated})] == []


def test_a_device_survives_the_journal_and_what_a_later_station_adds_is_passed_over() -> None:
    remarkable = Device(model="C920", serial="A1", remarks=("gain is 8, not 9.",))
    assert Device.from_json({**remarkable.to_json(), "colour": "black"}) == remarkable
