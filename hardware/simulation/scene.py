"""The simulated scene as a MuJoCo model: an xArm-6, an 85 mm gripper, a tray, a half orange and a juicer.

Frames: the world is the arm's base frame, x forward, y left, z up, table top at z = 0; the tool frame's z axis points
out of the gripper, and the fingers close along x. Joint origins, limits and link masses of the arm are UFACTORY's
published values; its shape consists of capsules with those masses. Describes the scene only; moves nothing.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

import mujoco
import numpy as np

from hardware.simulation.settings import TICK_HZ

_LOG = logging.getLogger("station.physics")

SUBSTEPS = 4
"""Physics steps per controller tick."""
TIMESTEP = 1.0 / (TICK_HZ * SUBSTEPS)
JOINTS = tuple(f"joint_{i}" for i in range(1, 7))
STIFFNESS = np.array([6000.0, 6000.0, 5000.0, 2500.0, 2000.0, 1000.0])
"""Position gain of each joint's servo, N m/rad."""
SERVO_DAMPING = np.array([420.0, 420.0, 260.0, 90.0, 60.0, 20.0])
JOINT_DAMPING = 1.0
STROKE = 0.0425
"""Travel of one finger, m; both together open 85 mm."""

ORANGE_RADIUS = 0.036
ORANGE_DISC = 0.018
"""Height of the orange's vertical side, m, where the finger pads hold it; the dome above has the same height."""
SKEWER_LENGTH = 0.066
"""Half the length of the skewer through the orange, along the orange's y, m."""
FILTER_HEIGHT = 0.085
"""Top of the juicer's filter above the juicer's foot, m."""
LUG_HEIGHT = 0.030
"""Top of the lugs above the filter, m: higher than the skewer, so a skewer on the lugs holds the orange up."""
JUICER_RIM = 0.0475
JUICER_PLACE = (0.42, 0.17)


@dataclass(frozen=True, kw_only=True)
class Tray:
    """The tray, 20 x 29 cm with a 10 mm rim; lengths in m."""

    x: float = 0.42
    y: float = -0.17
    half_x: float = 0.10
    half_y: float = 0.145
    floor: float = 0.003
    rim: float = 0.010


TRAY = Tray()

_LINKS = """
<body name="link_1" pos="0 0 .267" gravcomp="1">
 <joint name="joint_1" range="-6.2832 6.2832"/>
 <geom class="looks" type="capsule" fromto="0 0 -.05 0 0 .03" size=".058" mass="2.16"/>
 <body name="link_2" quat="1 -1 0 0" gravcomp="1">
  <joint name="joint_2" range="-2.059 2.0944"/>
  <geom class="looks" type="capsule" fromto="0 0 0 .0535 -.2845 0" size=".05" mass="1.71"/>
  <body name="link_3" pos=".0535 -.2845 0" gravcomp="1">
   <joint name="joint_3" range="-3.927 .19198"/>
   <geom class="looks" type="capsule" fromto="0 0 0 .0775 .06 0" size=".047" mass="1.384"/>
   <body name="link_4" pos=".0775 .3425 0" quat="1 -1 0 0" gravcomp="1">
    <joint name="joint_4" range="-6.2832 6.2832"/>
    <geom class="looks" type="capsule" fromto="0 0 -.28 0 0 0" size=".04" mass="1.115"/>
    <body name="link_5" quat="1 1 0 0" gravcomp="1">
     <joint name="joint_5" range="-1.69297 3.1416"/>
     <geom class="looks" type="capsule" fromto="0 0 0 .076 .02 0" size=".038" mass="1.275"/>
     <body name="link_6" pos=".076 .097 0" quat="1 -1 0 0" gravcomp="1">
      <joint name="joint_6" range="-6.2832 6.2832"/>
      <geom class="looks" type="cylinder" fromto="0 0 -.06 0 0 0" size=".036" mass=".11"
       rgba=".75 .76 .78 1"/>
      {hand}
      <site name="tool" pos="0 0 .172"/>
     </body>
    </body>
   </body>
  </body>
 </body>
</body>
"""

_FINGER = """
<body name="finger_{side}" gravcomp="1">
 <joint name="finger_{side}" type="slide" axis="{sign} 0 0" range="0 .0425" armature=".05" damping="8"/>
 <geom class="hand" type="box" pos="{link} 0 .117" size=".005 .011 .045" mass=".04"/>
 <geom class="pad" type="box" pos="{pad} 0 .172" size=".005 .011 .011" mass=".02"/>
</body>
"""

_HAND = """
<body name="hand" gravcomp="1">
 <geom class="hand" type="box" pos="0 0 .036" size=".045 .025 .036" mass=".65"/>
 <site name="wrist_camera" pos="0 -.09 .04"/>
{left}{right}</body>
"""

_DEFAULTS = """
<compiler angle="radian" autolimits="true"/>
<option timestep="{timestep!r}" integrator="implicitfast" cone="elliptic" impratio="10"/>
<size memory="4M"/>
<default>
 <joint damping="1" armature=".1"/>
 <geom condim="4" friction=".8 .01 .001" solref=".01 1"/>
 <default class="looks"><geom contype="0" conaffinity="0" rgba=".93 .93 .95 1"/></default>
 <default class="hand"><geom contype="1" conaffinity="2" rgba=".16 .17 .2 1"/></default>
 <default class="pad">
  <geom contype="1" conaffinity="2" friction="1.5 .02 .001" solref=".006 1" rgba=".3 .32 .36 1"/>
 </default>
 <default class="fixture"><geom contype="4" conaffinity="3"/></default>
 <default class="thing"><geom contype="2" conaffinity="7"/></default>
</default>
"""


def arm_xml() -> str:
    """The arm alone, for kinematics."""
    links = _LINKS.format(hand="")
    return f"<mujoco>{_DEFAULTS.format(timestep=TIMESTEP)}<worldbody>{links}</worldbody></mujoco>"


def scene_xml() -> str:
    """The whole scene."""
    hand = _HAND.format(
        left=_FINGER.format(side="left", sign="1", link=".0125", pad=".005"),
        right=_FINGER.format(side="right", sign="-1", link="-.0125", pad="-.005"),
    )
    return f"""<mujoco model="place orange">{_DEFAULTS.format(timestep=TIMESTEP)}
<worldbody>
 <geom name="floor" class="looks" type="plane" pos="0 0 -.7" size="3 3 .1" rgba=".36 .37 .4 1"/>
 <geom name="table" class="fixture" type="box" pos=".35 0 -.02" size=".45 .5 .02" rgba=".72 .62 .5 1"/>
 <geom class="looks" type="cylinder" pos="0 0 .11" size=".06 .11" rgba=".93 .93 .95 1"/>
 {_LINKS.format(hand=hand)}
 {_tray_xml()}{_orange_xml()}{_juicer_xml()}
</worldbody>
<equality><joint joint1="finger_left" joint2="finger_right" solref=".004 1"/></equality>
<actuator>{_actuators_xml()}</actuator>
</mujoco>"""


def build_scene() -> mujoco.MjModel:
    """The compiled scene; also redirects MuJoCo's warnings to the log, from a file in the user's folder."""
    mujoco.set_mju_user_warning(_LOG.warning)
    return mujoco.MjModel.from_xml_string(scene_xml())


def build_arm() -> mujoco.MjModel:
    """The compiled arm alone."""
    return mujoco.MjModel.from_xml_string(arm_xml())


def _actuators_xml() -> str:
    joints = "".join(
        f'<position joint="{name}" kp="{kp}" kv="{kv}" inheritrange="1"/>'
        for name, kp, kv in zip(JOINTS, STIFFNESS, SERVO_DAMPING, strict=True)
    )
    return joints + (
        '<position name="gripper" joint="finger_left" kp="1500" kv="60" forcerange="-40 40" '
        'ctrlrange="0 .0425"/>'
    )


def _tray_xml() -> str:
    t, wall = TRAY, 0.004
    long_y, long_x = t.half_y, t.half_x - 2 * wall
    height = (t.floor + t.rim) / 2
    walls = "".join(
        f'<geom class="fixture" type="box" pos="{x} {y} {height}" size="{sx} {sy} {height}" '
        'rgba=".3 .42 .55 1"/>'
        for x, y, sx, sy in (
            (t.half_x - wall, 0, wall, long_y),
            (-t.half_x + wall, 0, wall, long_y),
            (0, t.half_y - wall, long_x, wall),
            (0, -t.half_y + wall, long_x, wall),
        )
    )
    floor = (
        f'<geom name="tray" class="fixture" type="box" pos="0 0 {t.floor / 2}" '
        f'size="{t.half_x} {t.half_y} {t.floor / 2}" rgba=".36 .5 .64 1"/>'
    )
    return f'<body name="tray" pos="{t.x} {t.y} 0">{floor}{walls}</body>'


def _orange_xml() -> str:
    """A disc with a dome, cut face down, and the skewer through both; the body frame's origin is in the cut face."""
    disc, colour = ORANGE_DISC / 2, 'rgba=".96 .55 .1 1"'
    dome = ORANGE_DISC - 0.0005  # stops short of the cut face, so that only the disc makes contact
    return f"""<body name="orange" pos="{TRAY.x} {TRAY.y} {TRAY.floor}"><freejoint/>
 <geom class="thing" type="cylinder" pos="0 0 {disc}" size="{ORANGE_RADIUS} {disc}" mass=".055" {colour}/>
 <geom class="thing" type="ellipsoid" pos="0 0 {ORANGE_DISC}" size="{ORANGE_RADIUS} {ORANGE_RADIUS} {dome}"
  mass=".03" {colour}/>
 <geom name="skewer" class="thing" type="box" pos="0 0 .014" size=".004 {SKEWER_LENGTH} .003" mass=".005"
  rgba=".25 .55 .2 1"/></body>"""


def _juicer_xml() -> str:
    """A can with a filter on top, a rim of eight segments around it and two lugs at +y and -y."""
    rim = "".join(_rim_segment(index) for index in range(8))
    lug_z, lug_half = FILTER_HEIGHT + LUG_HEIGHT / 2 - 0.01, LUG_HEIGHT / 2 + 0.01
    lugs = "".join(
        f'<geom name="lug_{name}" class="thing" type="box" pos="0 {y} {lug_z}" size=".044 .006 {lug_half}" '
        'mass=".04" rgba=".55 .2 .22 1"/>'
        for name, y in (("left", 0.064), ("right", -0.064))
    )
    x, y = JUICER_PLACE
    return f"""<body name="juicer" pos="{x} {y} 0"><freejoint/>
 <geom class="thing" type="cylinder" pos="0 0 .01" size=".075 .01" mass=".45" rgba=".85 .85 .88 1"/>
 <geom class="thing" type="cylinder" pos="0 0 .04" size=".05 .03" mass=".3" rgba=".85 .85 .88 1"/>
 <geom class="thing" type="box" pos="0 0 .0725" size=".05 .07 .0025" mass=".05" rgba=".85 .85 .88 1"/>
 <geom name="filter" class="thing" type="cylinder" pos="0 0 .08" size=".052 .005" mass=".05"
  rgba=".92 .93 .6 1"/>
 {rim}{lugs}</body>"""


def _rim_segment(index: int) -> str:
    angle = index * np.pi / 4 + np.pi / 8
    radius = JUICER_RIM + 0.002
    return (
        f'<geom class="thing" type="box" pos="{radius * np.cos(angle):.5f} {radius * np.sin(angle):.5f} '
        f'{FILTER_HEIGHT + 0.0015}" size=".002 .0205 .0025" euler="0 0 {angle:.6f}" mass=".003" '
        'rgba=".8 .8 .4 1"/>'
    )
