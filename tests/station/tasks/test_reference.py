"""Everything that a task file may hold can be looked up at the command line."""

from __future__ import annotations

import tomllib

import pytest

from hardware.cameras.settings import DeviceCameraSettings
from hardware.settings import ArmSettings, GripperSettings
from policy.steering.zprl import ZPRLSettings
from station.tasks.reference import Section, section, sections
from tests.station.conftest import Station


def test_every_driver_and_every_section_of_a_task_can_be_asked_for() -> None:
    known = {section.name for section in sections()}
    for base in (ArmSettings, GripperSettings, DeviceCameraSettings):
        assert set(base.kinds) <= known
    assert section("steering").model is ZPRLSettings
    assert {"cell", "safety", "placements", "policy", "steering", "session"} <= known


@pytest.mark.parametrize("asked", sections(), ids=lambda found: found.name)
def test_what_is_printed_is_a_piece_of_a_task_file_that_names_every_setting(asked: Section) -> None:
    text = asked.text
    assert text.startswith(f"{asked.header}\n# ")
    tomllib.loads(text)
    beside = {"arms", "cameras", "safety", "placements"} if asked.name == "cell" else set()
    for name, field in asked.model.model_fields.items():
        if name not in beside:
            assert name in text
            assert field.description


def test_a_setting_without_a_default_says_that_it_must_be_set(station: Station) -> None:
    shown = station("settings", "xarm").stdout
    assert shown.startswith("[[arms]]\n# An xArm.")
    assert "# Address of the control box, e.g. 192.168.1.185.\n# address = ... must be set\n" in shown
    assert "# Joint speed while homing, rad/s. (more than 0 and at most 2)\nhome_speed = 0.35\n" in shown


def test_brackets_are_allowed_and_a_misspelt_name_is_answered_with_the_nearest(station: Station) -> None:
    assert section("[safety]").header == "[safety]"
    done = station("settings", "relsense")
    assert done.exit_code == 2 and "Did you mean 'realsense'?" in " ".join(done.output.split())


def test_the_list_says_where_each_stands(station: Station) -> None:
    lines = station("settings").stdout.splitlines()
    assert any(line.split()[:2] == ["usb", "[[cameras]]"] for line in lines)
