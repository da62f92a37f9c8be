"""The way home: planned, checked, walked tick by tick, braked anywhere, kept clear of the other arm. Nothing moves."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest

from datasets.kinematics import ARMS
from hardware.arms.xarm import XArmSettings
from hardware.controller.homeward import Homeward
from hardware.controller.way import FORETOLD, Stretch, WayError, WayRules, plan_home
from hardware.plan import Vector
from hardware.safety.clearance import Sphere
from hardware.safety.filter import SafetySettings
from hardware.safety.reasons import Reason

DT = 0.01
HOME = np.array([0.0, -0.3, -0.8, 0.0, 1.1, 0.0])
AWAY = HOME + np.array([0.3, 0.2, -0.1, 0.2, -0.1, 0.4])
TOOL = 0.17
"""m from the flange to the fingertips, along its axis."""
SAFETY = SafetySettings.model_validate(
    {
        "workspaces": [{"arm": "arm", "lower": (0.25, -0.2, 0.08), "upper": (0.56, 0.2, 0.3)}],
        "velocity": 0.2,
        "acceleration": 1.0,
        "jerk": 15.0,
        "radius": 0.1,
    }
)
ARM = XArmSettings.model_validate(
    {"name": "arm", "address": "127.0.0.1", "home": tuple(HOME), "home_speed": 1.0, "home_acceleration": 4.0}
)
RULES = WayRules.of(ARM, SAFETY)


def tool(joints: Vector) -> tuple[Vector, Vector]:
    """Where the fingertips are by the maker's table, m, and the flange's orientation."""
    from scipy.spatial.transform import Rotation

    pose = ARMS["xarm6"].forward(joints[None])[0]
    return pose[:3] + Rotation.from_quat(pose[3:]).apply([0.0, 0.0, TOOL]), pose[3:]


def way(start: Vector = AWAY, *, rules: WayRules = RULES, home: Vector = HOME) -> list[Stretch]:
    position, quaternion = tool(start)
    return plan_home(rules, home, joints=start, position=position, quaternion=quaternion)


@dataclass(frozen=True, kw_only=True, eq=False)
class Walk:
    """What was commanded, tick by tick."""

    joints: Vector
    position: Vector
    reasons: set[Reason]

    def greatest(self, order: int) -> float:
        """Of the tool's speed (1), acceleration (2) or jerk (3), along any axis."""
        return float(np.abs(np.diff(self.position, order, axis=0)).max()) / DT**order


def walk(
    homeward: Homeward, ticks: int = 5000, *, brake: bool = False, others: list[Sphere] | None = None
) -> Walk:
    joints, position, reasons = [], [], set()
    for _ in range(ticks):
        posture, command, why = homeward.step(others or [], brake=brake, gripper=1.0, now=0.0)
        joints.append(posture.joints)
        position.append(command.position)
        reasons |= {*why}
        if homeward.arrived or (brake and homeward.standing):
            break
    return Walk(joints=np.array(joints), position=np.array(position), reasons=reasons)


def test_the_way_ends_exactly_at_home_and_keeps_every_limit_on_the_way() -> None:
    homeward = Homeward(way(), SAFETY, DT)
    walked = walk(homeward)
    assert homeward.arrived and (walked.joints[-1] == HOME).all()
    foretold = np.array([tool(joints)[0] for joints in walked.joints])
    np.testing.assert_allclose(walked.position, foretold, atol=1e-4)
    exact = replace(walked, position=foretold)
    assert 0.1 < exact.greatest(1) <= 0.2 and exact.greatest(2) <= 1.0 and exact.greatest(3) <= 15.0
    assert np.abs(np.diff(walked.joints, axis=0)).max() / DT <= 1.0
    box = SAFETY.workspaces[0]
    assert (foretold >= np.array(box.lower)).all() and (foretold <= np.array(box.upper)).all()


@pytest.mark.parametrize("ticks", [1, 3, 10, 30, 60, 100])
def test_whoever_brakes_on_the_way_stands_soon_and_still_on_it(ticks: int) -> None:
    homeward = Homeward(way(), SAFETY, DT)
    before = walk(homeward, ticks)
    braked = walk(homeward, brake=True)
    assert homeward.standing and len(braked.joints) < 45
    path = np.array([tool(joints)[0] for joints in (*before.joints, *braked.joints)])
    assert np.abs(np.diff(path, 2, axis=0)).max() / DT**2 <= 1.0
    share = (braked.joints - AWAY) / (HOME - AWAY)
    np.testing.assert_allclose(share, share[:, :1] * np.ones(6), atol=1e-9)


def test_an_arm_that_is_at_home_already_has_arrived_at_once() -> None:
    homeward = Homeward(way(HOME), SAFETY, DT)
    assert len(walk(homeward).joints) <= 2 and homeward.arrived


def test_a_swing_that_would_leave_the_workspace_is_gone_round_inside_it() -> None:
    aside = np.array([0.6, 0.0, 0.0, 0.0, 0.0, 0.0])
    reach = float(tool(HOME + aside)[0][0])
    box = SAFETY.workspaces[0].model_copy(
        update={"lower": (0.15, -0.4, 0.08), "upper": (reach + 0.02, 0.4, 0.4)}
    )
    rules = replace(RULES, safety=SAFETY.model_copy(update={"workspaces": (box,)}))
    planned = way(HOME - aside, rules=rules, home=HOME + aside)
    assert len(planned) > 1
    walked = walk(Homeward(planned, rules.safety, DT))
    assert (walked.joints[-1] == HOME + aside).all()
    assert np.array([tool(joints)[0] for joints in walked.joints])[:, 0].max() < box.upper[0] + FORETOLD


def test_a_way_that_would_leave_the_workspace_is_refused_with_how_far_and_where() -> None:
    beyond = round(float(tool(HOME)[0][0]) - 0.03, 3)
    box = SAFETY.workspaces[0].model_copy(update={"upper": (beyond, 0.2, 0.3)})
    rules = replace(RULES, safety=SAFETY.model_copy(update={"workspaces": (box,)}))
    start = HOME + np.array([0.3, -0.3, -0.1, 0.0, 0.2, 0.0])
    with pytest.raises(
        WayError, match=rf"its workspace: 3\.0 cm above its limit of {beyond} m along x.*by hand"
    ):
        way(start, rules=rules)


def test_from_outside_the_workspace_the_arm_comes_back_slowly_and_only_inward() -> None:
    below = HOME + np.array([0.0, 0.25, 0.2, 0.0, -0.1, 0.0])
    start = tool(below)[0]
    depth = SAFETY.workspaces[0].lower[2] - start[2]
    assert depth > 0.02
    walked = walk(Homeward(way(below), SAFETY, DT))
    heights = walked.position[:, 2]
    outside = heights < SAFETY.workspaces[0].lower[2] - FORETOLD
    assert outside[0] and (np.diff(heights[outside]) >= -1e-9).all()
    assert np.abs(np.diff(walked.position[outside], axis=0)).max() / DT <= SAFETY.inward_speed + 1e-6
    assert (walked.joints[-1] == HOME).all()


def test_a_home_that_a_joint_cannot_reach_is_refused_before_anything_moves() -> None:
    beyond = HOME.copy()
    beyond[2] = 0.4
    with pytest.raises(WayError, match=r"joint 3 turns from -3.927 to 0.192 rad, home says 0.400"):
        way(home=beyond)


def test_an_arm_whose_geometry_nobody_knows_does_not_go_home() -> None:
    with pytest.raises(WayError, match="its path home cannot be checked"):
        way(rules=replace(RULES, flange=lambda _: None))


def test_the_other_arm_in_the_way_is_kept_clear_of_and_the_way_goes_on_when_it_is_gone() -> None:
    at_home, _ = tool(HOME)
    other = Sphere(center=(at_home[0], at_home[1], at_home[2]), velocity=(0.0, 0.0, 0.0), radius=0.05)
    homeward = Homeward(way(), SAFETY, DT)
    held = walk(homeward, 400, others=[other])
    assert Reason.OTHER_ARM in held.reasons and not homeward.arrived
    assert np.linalg.norm(held.position - at_home, axis=1).min() >= 0.15 - 1e-6
    assert np.abs(np.diff(held.position[-10:], axis=0)).max() < 1e-5
    walk(homeward)
    assert homeward.arrived
