"""A wrong setting is refused with the allowed values, before anything is built."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from hardware.simulation.settings import CameraSettings, SimulationSettings


def test_a_rate_that_does_not_divide_the_tick_rate_is_refused_with_the_choices() -> None:
    with pytest.raises(ValidationError, match="choose 5, 6, 8, 10"):
        SimulationSettings(control_hz=25)


def test_two_cameras_of_one_name_are_refused() -> None:
    with pytest.raises(ValidationError, match="only once"):
        SimulationSettings(cameras=(CameraSettings(name="third"), CameraSettings(name="third")))


def test_the_spec_says_what_the_cell_records() -> None:
    spec = SimulationSettings(control_hz=30).spec
    assert spec.proprioception_dim == 7 and spec.da == 7 and spec.control_hz == 30.0
    assert [camera.name for camera in spec.cameras] == ["third", "wrist"]
