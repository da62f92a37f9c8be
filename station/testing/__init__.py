"""Checks of the extension API: one call says whether a class keeps its contract.

Each takes a class, or the settings that build it, and raises AssertionError with a sentence that says what is broken
and where the rule is written. No pytest is needed; in one, a check is the body of a test. The classes of this
repository go through the same checks. What is promised about the interfaces: `station.extending`.
"""

from __future__ import annotations

from station.testing.arm import check_arm
from station.testing.camera import check_camera
from station.testing.cell import Workplace, check_cell
from station.testing.exporter import check_exporter
from station.testing.format import check_format
from station.testing.gripper import check_gripper
from station.testing.steering import check_steering

__all__ = [
    "Workplace",
    "check_arm",
    "check_camera",
    "check_cell",
    "check_exporter",
    "check_format",
    "check_gripper",
    "check_steering",
]
