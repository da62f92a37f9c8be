"""Cells of Frankas on franky-sim, as task files describe them; the images are the fakes'."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.emulators.franka import READY, SPACING, FrankaEmulator

NEEDS_FRANKY = (
    "needs franky and franky-sim: pip install franky-control franky-sim (Linux on x86_64, no apt package)"
)
TOOL = (0.307, 0.0, 0.487)
"""Where the hand is in READY, m, base frame."""


def franka_table(emulator: FrankaEmulator, board: Path, **changes: Any) -> dict[str, Any]:
    """The [cell] of a task file for the emulator's arms, with hands and a camera.

    Patient where a busy machine makes the simulated control box late, as no real one is.
    """
    names = ["left", "right"][: len(emulator.addresses)]
    table: dict[str, Any] = {
        "kind": "robot",
        "control_hz": 10,
        "controller_hz": 100,
        "suspended_after": 1.0,
        "tracking_error": 0.2,
        "arms": [
            {
                "driver": "franka",
                "name": name,
                "address": address,
                "realtime": "ignore",
                "home": list(READY),
                "home_dynamics": 0.3,
                "stale_stop": 1.0,
                "report_age": 0.7,
                "base_position": [0.0, SPACING * number, 0.0],
                "gripper": {"driver": "franka_hand"},
            }
            for number, (name, address) in enumerate(zip(names, emulator.addresses, strict=True))
        ],
        "cameras": [
            {
                "driver": "tests.hardware.fakes:FakeCameraSettings",
                "name": "scene",
                "switchboard": str(board),
            }
        ],
        "safety": {
            "workspaces": [
                {"arm": name, "lower": [0.2, -0.3, 0.2], "upper": [0.6, 0.3, 0.7]} for name in names
            ],
            "heartbeat": 1.5,
            "velocity": 0.3,
            "acceleration": 1.5,
            "radius": 0.1,
        },
    }
    return {**table, **changes}
