"""Order of homing: both arms in parallel where their paths are clear of each other, else one after the other.

Whole paths are compared, every point on one with every point on the other, so the arms' speeds and delays do not
matter. Arms that are nearer to each other than allowed may only move apart. Each arm's controller plans its own path
again and keeps clear at every tick; nothing moves here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from hardware.controller.way import WayError, WayRules, plan_home
from hardware.plan import Vector
from hardware.robot.settings import RobotCellSettings
from hardware.settings import ArmSettings
from hardware.wire import Report

_MARGIN = 0.01
"""m, for the gaps between samples and for arms that deviate from their nominal kinematics."""
_NO_NEARER = 1e-3
"""m, rounding tolerance of a distance that must not shrink."""


@dataclass(frozen=True, kw_only=True, eq=False)
class _Way:
    """One arm's path home in the cell frame."""

    arm: str
    places: Vector
    """[m, 3] m, of the tool."""

    @classmethod
    def of(cls, arm: ArmSettings, settings: RobotCellSettings, report: Report) -> _Way:
        from scipy.spatial.transform import Rotation

        way = plan_home(
            WayRules.of(arm, settings.safety),
            np.array(arm.home),
            joints=report.joints,
            position=report.measured_position,
            quaternion=report.measured_quaternion,
        )
        places = np.vstack([stretch.position for stretch in way])
        return cls(
            arm=arm.name, places=Rotation.from_rotvec(arm.base_rotation).apply(places) + arm.base_position
        )

    def nearest(self, others: Vector) -> tuple[float, bool]:
        """Smallest distance to these points, m, and whether the path only moves away from them."""
        distance = np.linalg.norm(self.places[:, None] - others[None], axis=2).min(axis=1)
        parting = bool((distance >= np.maximum.accumulate(distance) - _NO_NEARER).all())
        return float(distance.min()), parting


def groups(settings: RobotCellSettings, reports: Mapping[str, Report | None]) -> list[tuple[str, ...]]:
    """Names of the arms that home in parallel, one group after the other; `reports` are of arms at rest.

    Raises:
        WayError: an arm has no path home, or neither can get past the other.
    """
    names = [arm.name for arm in settings.arms]
    ways = [
        _Way.of(arm, settings, report)
        for arm in settings.arms
        if (report := reports[arm.name]) is not None and len(report.joints)
    ]
    if len(ways) < 2:
        return [(name,) for name in names]
    needed = 2.0 * (settings.safety.radius or 0.0) + _MARGIN
    one, other = ways
    if one.nearest(other.places)[0] >= needed:
        return [tuple(names)]
    for first, second in ((one, other), (other, one)):
        if _clear(first, second.places[:1], needed) and _clear(second, first.places[-1:], needed):
            return [(first.arm,), (second.arm,)]
    raise WayError(_refusal(ways, needed))


def _clear(way: _Way, place: Vector, needed: float) -> bool:
    nearest, parting = way.nearest(place)
    return nearest >= needed or parting


def _refusal(ways: Sequence[_Way], needed: float) -> str:
    one, other = ways
    nearest = min(one.nearest(other.places[[0, -1]])[0], other.nearest(one.places[[0, -1]])[0])
    return (
        f"{one.arm} and {other.arm}: neither can go home past the other: the tools would come within {nearest:.2f} m, "
        f"and [safety] radius asks for {needed:.2f} m. Move one of them aside by hand, in the vendor's manual mode, or "
        "set homes that lie farther apart."
    )
