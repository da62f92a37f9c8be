"""Place Orange: start layouts, and the criteria for success and irrecoverable failure.

A half orange on a skewer starts on a tray and must come to rest on the juicer's filter. The skewer starts parallel to
the line through the juicer's lugs and would end up resting on them, so the wrist must rotate it. Sets up and judges the
scene; moves nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import mujoco
import numpy as np
from numpy.typing import NDArray

from datasets.episode import Ending
from datasets.randomness import stream
from hardware.cell import CellError, Layout
from hardware.simulation.scene import FILTER_HEIGHT, JUICER_PLACE, TRAY
from hardware.simulation.settings import LayoutSettings

Array = NDArray[np.float64]

PLACE_RADIUS = 0.015
"""Largest distance between the centres of orange and filter, m."""
PLACE_HEIGHT = 0.006
UPRIGHT = 0.97
"""Smallest cosine between the orange's axis and the vertical."""
STILL = 0.03
"""Highest speed of an orange that counts as at rest, m/s."""
RAISED = 0.05
"""Smallest height of the tool above the placed orange's cut face, m."""
RELEASED = 0.5
"""Smallest opening of a gripper that has released the placed orange."""
_TOPPLED = 0.8
_OVERTURNED = 0.5


@dataclass(frozen=True, kw_only=True)
class Scene:
    """Ground truth about the objects, in the base frame; only a simulator has it."""

    orange: Array
    """[3] m, centre of the cut face."""
    orange_yaw: float
    """rad; the skewer is along the rotated y axis."""
    orange_upright: float
    """Cosine between the orange's axis and the vertical."""
    orange_speed: float
    """m/s."""
    filter: Array
    """[3] m, centre of the filter's top."""
    juicer_yaw: float
    juicer_upright: float
    tool: Array
    """[3] m."""
    opening: float
    """Gripper, 0 closed .. 1 open, measured."""


class PlaceOrange:
    """The task's rules for one model."""

    def __init__(self, model: mujoco.MjModel, settings: LayoutSettings) -> None:
        self._settings = settings
        self._orange = model.body("orange").id
        self._juicer = model.body("juicer").id
        self._orange_q = _free_joint(model, self._orange)
        self._juicer_q = _free_joint(model, self._juicer)
        self._orange_v = int(model.jnt_dofadr[model.body_jntadr[self._orange]])

    def sample(self, seed: int, purpose: str, ordinal: int) -> Layout:
        """The start layout of one episode of a seeded schedule: positions in m, yaws in rad, base frame."""
        rng, s = stream(seed, f"layout/{purpose}", ordinal), self._settings
        draw = rng.uniform(-1.0, 1.0, 5)
        return {
            "orange": {
                "x": TRAY.x + s.spread_x * float(draw[0]),
                "y": TRAY.y + s.spread_y * float(draw[1]),
                "yaw": s.spread_yaw * float(draw[2]),
            },
            "juicer": {
                "x": JUICER_PLACE[0] + s.spread_juicer * float(draw[3]),
                "y": JUICER_PLACE[1] + s.spread_juicer * float(draw[4]),
                "yaw": 0.0,
            },
        }

    def lay_out(self, data: mujoco.MjData, layout: Layout) -> None:
        """Put the objects where `layout` says, at rest.

        Raises:
            CellError: the layout does not fit this task.
        """
        for name, address, height in (
            ("orange", self._orange_q, TRAY.floor),
            ("juicer", self._juicer_q, 0.0),
        ):
            try:
                x, y, yaw = (float(layout[name][key]) for key in ("x", "y", "yaw"))
            except (KeyError, TypeError, ValueError) as error:
                raise CellError(
                    f"The layout {layout!r} does not say x, y and yaw of the {name}. "
                    "Use a layout that sample_layout of this cell gave."
                ) from error
            data.qpos[address : address + 7] = [x, y, height, np.cos(yaw / 2), 0.0, 0.0, np.sin(yaw / 2)]

    def look(self, data: mujoco.MjData, tool: Array, opening: float) -> Scene:
        """Ground truth from `data`, whose kinematics must be up to date."""
        orange, juicer = data.xmat[self._orange], data.xmat[self._juicer]
        speed = data.qvel[self._orange_v : self._orange_v + 3]
        return Scene(
            orange=data.xpos[self._orange].copy(),
            orange_yaw=float(np.arctan2(orange[3], orange[0])),
            orange_upright=float(orange[8]),
            orange_speed=float(np.sqrt(speed @ speed)),
            filter=data.xpos[self._juicer] + FILTER_HEIGHT * juicer[[2, 5, 8]],
            juicer_yaw=float(np.arctan2(juicer[3], juicer[0])),
            juicer_upright=float(juicer[8]),
            tool=tool,
            opening=opening,
        )

    def judge(self, scene: Scene) -> Ending | None:
        """SUCCESS, IRRECOVERABLE, or None while the episode is open."""
        if _lost(scene):
            return Ending.IRRECOVERABLE
        return Ending.SUCCESS if _placed(scene) else None


def _placed(scene: Scene) -> bool:
    offset = scene.orange - scene.filter
    return bool(
        np.hypot(offset[0], offset[1]) <= PLACE_RADIUS
        and abs(offset[2]) <= PLACE_HEIGHT
        and scene.orange_upright > UPRIGHT
        and scene.orange_speed < STILL
        and scene.opening > RELEASED
        and scene.tool[2] - scene.orange[2] > RAISED
    )


def _lost(scene: Scene) -> bool:
    """Whether the orange is off the table, or at rest beside the tray or upside down, or the juicer toppled."""
    x, y, z = scene.orange
    if z < -0.03 or scene.juicer_upright < _TOPPLED:
        return True
    low = z < 0.05 and scene.orange_speed < STILL and scene.tool[2] - z > RAISED
    beside = abs(x - TRAY.x) > TRAY.half_x or abs(y - TRAY.y) > TRAY.half_y
    return bool(low and (beside or scene.orange_upright < _OVERTURNED))


def _free_joint(model: mujoco.MjModel, body: int) -> int:
    return int(model.jnt_qposadr[model.body_jntadr[body]])
