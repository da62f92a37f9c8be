"""Fixtures of the tests of checks."""

from __future__ import annotations

import pytest

from datasets.spec import ActionSpec, CameraSpec, DataSpec


@pytest.fixture
def spec() -> DataSpec:
    return DataSpec(
        cameras=(CameraSpec(name="third", height=8, width=10),),
        proprioception=("joint_1", "joint_2", "gripper"),
        action=ActionSpec(),
        control_hz=10.0,
    )
