"""The check of a cell: what a session relies on, simulated or composed of devices. Moves the arms.

One function per rule; `RULES` lists them, `check_cell` applies them all. A `Workplace` is a cell with what the rules
need: where its tool is at home, and how to make a camera fall silent.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from datasets.observation import FloatArray
from datasets.rotation import pose_to_action
from hardware.cell import (
    Cell,
    CellError,
    ClockSpeed,
    NonFiniteCommandError,
    StaleFrameError,
    Step,
    StoppedError,
)
from hardware.latch import StopLatch
from station.testing.contract import Contract

_STEP = 0.01  # m
_NEAR = 0.01  # of an action that is reached
_OLDEST = 5.0  # s
_HOME = 0.05  # of proprioception
_PATIENCE = 20.0  # s


@dataclass(frozen=True, kw_only=True)
class Workplace:
    """A cell; connected, for a rule."""

    cell: Cell
    latch: StopLatch
    """The latch that the cell obeys."""
    home: tuple[float, float, float]
    """Where the first arm's tool is at home, m."""
    silence_cameras: Callable[[], object]
    """Keeps its cameras from delivering frames."""
    wake_cameras: Callable[[], object]
    """Inverse of `silence_cameras`; also called while they deliver."""
    quaternion: tuple[float, float, float, float] = (1.0, 0.0, 0.0, 0.0)
    """How the tool is held at home, xyzw; default: pointing down."""

    @property
    def contract(self) -> Contract:
        """What is checked."""
        return Contract(subject=type(self.cell).__name__, interface="hardware.cell.Cell")

    def plan(self, n: int = 3, step: float = _STEP) -> FloatArray:
        """n poses that lead away from home by `step` m each, along x, for every arm."""
        spec = self.cell.spec
        poses = np.array([[self.home[0] + step * (k + 1), *self.home[1:]] for k in range(n)])
        one = pose_to_action(poses, np.broadcast_to(self.quaternion, (n, 4)), np.ones(n), spec.action)
        return np.tile(one, (1, spec.action.arms))

    def go_home(self) -> None:
        """Wherever the last rule has left it."""
        self.wake_cameras()
        self.latch.rearm()
        self.cell.recover()
        self.cell.begin_homing()
        while not self.cell.advance_homing():
            pass
        self.contract.eventually(
            lambda: all(check.ok for check in self.cell.preflight()),
            _PATIENCE,
            "at home, with its latch armed and its cameras awake, it does not pass its own preflight",
            "preflight",
        )

    def prepare(self) -> None:
        """As an engine does before it makes a plan."""
        self.go_home()
        self.cell.reset_scene(self.cell.sample_layout(0, "contract", 0))
        self.cell.observe()

    def run_out(self) -> list[Step]:
        """Every step until the plan has run out."""
        steps = []
        while (step := self.cell.advance()) is not None:
            steps.append(step)
        return steps


Rule = Callable[[Workplace], None]


def check_cell(workplace: Workplace, *, rules: Sequence[Rule] | None = None) -> None:
    """Connect the cell, apply every rule from home, and close it.

    **The arms move: along x by up to 16 cm from home.** A simulated cell, or one of emulators, is the better place.

    Raises:
        AssertionError: it breaks its contract; says how, and where that is written.
    """
    cell, contract = workplace.cell, workplace.contract
    contract.calm(cell.brake, "before connect", "brake")
    contract.calm(cell.close, "before connect", "close")
    contract.require(not cell.watch(), "watch reports problems while nothing is connected", "watch")
    cell.connect()
    try:
        for rule in RULES if rules is None else rules:
            workplace.prepare()
            rule(workplace)
        workplace.go_home()
    finally:
        contract.calm(cell.close, "once", "close")
        contract.calm(cell.close, "twice", "close")


def observations_are_as_the_spec_says(place: Workplace) -> None:
    """Sizes and units of an observation; its frames are not from the future."""
    contract, spec, seen = place.contract, place.cell.spec, place.cell.observe()
    values, dim = seen.proprioception, spec.proprioception_dim
    contract.require(
        values.shape == (dim,) and values.dtype == np.float32 and np.isfinite(values).all(),
        f"proprioception is {values.dtype} {list(values.shape)}; its spec says finite float32 [{dim}]",
        "observe",
    )
    cameras = {camera.name: camera for camera in spec.cameras}
    for name, found in (("images", seen.images), ("image_times", seen.image_times)):
        contract.require(
            set(found) == set(cameras),
            f"{name} are of {sorted(found)}, its cameras {sorted(cameras)}",
            "observe",
        )
    for name, image in seen.images.items():
        size = (cameras[name].height, cameras[name].width, 3)
        contract.require(
            image.shape == size and image.dtype == np.uint8,
            f"'{name}' shows {image.dtype} {list(image.shape)}; its spec says uint8 {list(size)}",
            "observe",
        )
        age = seen.time - seen.image_times[name]
        contract.require(
            0.0 <= age < _OLDEST,
            f"the frame of '{name}' is {age:.3f} s older than its observation",
            "observe",
        )


def a_plan_gives_one_step_per_pose(place: Workplace) -> None:
    """In order, with rising stamps, and then None."""
    contract, plan = place.contract, place.plan(3)
    place.cell.plan(plan)
    steps = place.run_out()
    actions = np.array([step.action for step in steps])
    contract.require(
        np.array_equal(actions, plan),
        f"a plan of {len(plan)} poses gave {len(steps)} steps with others",
        "advance",
    )
    times = [step.observation.time for step in steps]
    contract.require(
        np.all(np.diff(times) > 0.0), f"observations are stamped {times}; stamps must rise", "advance"
    )
    contract.require(
        all(step.command_time <= step.observation.time for step in steps),
        "a command is stamped after the observation that followed it",
        "advance",
    )
    contract.require(place.cell.advance() is None, "advance continues after the plan has run out", "advance")


def what_is_sent_is_near_what_is_asked(place: Workplace) -> None:
    """An easy plan passes the limits nearly unchanged."""
    place.cell.plan(place.plan(5))
    last = place.run_out()[-1]
    off = np.abs(last.sent - last.action).max() if last.sent.shape == last.action.shape else np.inf
    place.contract.require(off < _NEAR, f"sent differs from an easy action by {off:g}", "advance")


def a_new_plan_replaces_the_rest(place: Workplace) -> None:
    """Of the old plan nothing follows."""
    place.cell.plan(place.plan(6))
    place.cell.advance()
    other = place.plan(2, step=_STEP / 2)
    place.cell.plan(other)
    done = np.array([step.action for step in place.run_out()])
    place.contract.require(
        np.array_equal(done, other), "a new plan does not replace the rest of the old", "plan"
    )


def a_plan_can_follow_the_running_one(place: Workplace) -> None:
    """With an overlap, after as many of its poses as `replan` names; a cell without `replan` has no overlap."""
    contract, cell = place.contract, place.cell
    if type(cell).replan is Cell.replan:
        return
    running, next_one = place.plan(6), place.plan(4, step=_STEP / 2)
    cell.plan(running)
    step = cell.advance()
    seen = step.observation.time if step is not None else 0.0
    cell.replan(next_one, after=2, seen=seen)
    done = np.array([step.action for step in place.run_out()])
    contract.require(
        np.array_equal(done, np.concatenate([running[1:3], next_one])),
        "a plan that follows two poses of the running one gives others",
        "replan",
    )
    contract.refuses(
        CellError,
        lambda: cell.replan(next_one, after=1, seen=seen),
        "after more poses than are left",
        "replan",
    )
    cell.replan(next_one[::-1], after=0, seen=seen)
    contract.require(
        len(place.run_out()) == len(next_one), "a plan after one that has run out is not followed", "replan"
    )


def a_brake_drops_the_plan(place: Workplace) -> None:
    """Nothing is due after a brake."""
    place.cell.plan(place.plan(6))
    place.cell.advance()
    place.cell.brake()
    place.contract.require(place.cell.advance() is None, "brake does not drop the plan", "brake")


def a_plan_that_is_not_finite_is_refused(place: Workplace, poison: float) -> None:
    """And the old plan is dropped."""
    place.cell.plan(place.plan(6))
    poisoned = place.plan(2)
    poisoned[1, 2] = poison
    error = place.contract.refuses(
        NonFiniteCommandError, lambda: place.cell.plan(poisoned), f"of a pose with {poison}", "plan"
    )
    place.contract.require("braked" in str(error), f"plan says '{error}', not that it braked", "plan")
    place.contract.require(place.cell.advance() is None, "the old plan continues after a refused one", "plan")


def a_plan_of_another_shape_is_refused(place: Workplace) -> None:
    """In words, as a CellError."""
    shape = (2, place.cell.spec.da + 1)
    error = place.contract.refuses(
        CellError, lambda: place.cell.plan(np.zeros(shape, np.float32)), f"of shape {list(shape)}", "plan"
    )
    place.contract.require(
        str(place.cell.spec.da) in str(error), f"plan says '{error}', not what shape this cell takes", "plan"
    )


def a_set_latch_forbids_all_motion(place: Workplace) -> None:
    """Until it is re-armed."""
    contract, cell = place.contract, place.cell
    cell.plan(place.plan(6))
    cell.advance()
    place.latch.stop()
    error = contract.refuses(StoppedError, place.run_out, "with the latch set", "advance")
    contract.require("re-arm" in str(error).lower(), f"advance says '{error}', not to re-arm", "advance")
    contract.refuses(StoppedError, lambda: cell.plan(place.plan(2)), "with the latch set", "plan")
    contract.refuses(StoppedError, cell.begin_homing, "with the latch set", "begin_homing")
    place.latch.rearm()
    cell.plan(place.plan(2))
    contract.require(len(place.run_out()) == len(place.plan(2)), "re-armed, it does not move again", "plan")


def a_set_latch_stops_homing(place: Workplace) -> None:
    """On its way home too."""
    place.cell.plan(place.plan(8, step=2 * _STEP))
    place.run_out()
    place.cell.begin_homing()
    place.cell.advance_homing()
    place.latch.stop()
    place.contract.refuses(
        StoppedError,
        lambda: any(place.cell.advance_homing() for _ in range(100)),
        "with the latch set",
        "advance_homing",
    )


def homing_can_be_braked_and_begun_again(place: Workplace) -> None:
    """And ends at the same place."""
    at_home = place.cell.observe().proprioception
    place.cell.plan(place.plan(8, step=2 * _STEP))
    place.run_out()
    place.cell.begin_homing()
    place.cell.advance_homing()
    place.cell.brake()
    place.go_home()
    off = np.abs(place.cell.observe().proprioception - at_home).max()
    place.contract.require(
        off <= _HOME, f"home differs by {off:g} from one homing to the next", "begin_homing"
    )


def a_silent_camera_stops_the_motion(place: Workplace) -> None:
    """And fails the preflight."""
    if not place.cell.spec.cameras:
        return
    place.cell.plan(place.plan(20, step=_STEP / 5))
    place.cell.advance()
    place.silence_cameras()
    error = place.contract.refuses(StaleFrameError, place.run_out, "with silent cameras", "advance")
    place.contract.require("braked" in str(error), f"advance says '{error}', not that it braked", "advance")
    failed = not all(check.ok for check in place.cell.preflight())
    place.contract.require(failed, "it passes its preflight with silent cameras", "preflight")
    place.wake_cameras()


def the_preflight_names_what_is_wrong(place: Workplace) -> None:
    """Nothing in a healthy cell; the latch, with its remedy, once that is set, and then `watch` still is silent."""
    contract, cell = place.contract, place.cell
    wrong = [check.name for check in cell.preflight() if not check.ok]
    contract.require(not wrong, f"healthy, it fails its preflight: {wrong}", "preflight")
    place.latch.stop()
    failed = [check for check in cell.preflight() if not check.ok]
    contract.require(
        [check.name for check in failed] == ["stop latch"] and failed[0].remedy,
        f"with the latch set its preflight fails {failed}; it should be 'stop latch', with a remedy",
        "preflight",
    )
    contract.require(not cell.watch(), "watch calls the set latch a fault of a device", "watch")


def layouts_follow_a_seeded_schedule(place: Workplace) -> None:
    """The same arguments give the same layout; its images fit the cameras."""
    contract, cell = place.contract, place.cell
    same = cell.sample_layout(1, "a", 2) == cell.sample_layout(1, "a", 2)
    contract.require(same, "the same seed, purpose and ordinal give another layout", "sample_layout")
    shapes = {camera.name: (camera.height, camera.width, 3) for camera in cell.spec.cameras}
    for name, image in cell.layout_images(cell.sample_layout(1, "a", 3)).items():
        contract.require(
            image.shape == shapes.get(name),
            f"its image for '{name}' is {list(image.shape)}, not as its spec says",
            "layout_images",
        )


def health_tells_rate_and_ages(place: Workplace) -> None:
    """Of every camera."""
    place.cell.plan(place.plan(4))
    place.run_out()
    health = place.cell.health()
    place.contract.require(health.achieved_hz > 1.0, f"achieved_hz is {health.achieved_hz:g}", "health")
    place.contract.require(
        set(health.frame_age) == {camera.name for camera in place.cell.spec.cameras},
        f"frame_age is of {sorted(health.frame_age)}, not of every camera",
        "health",
    )


def a_real_cell_has_one_clock(place: Workplace) -> None:
    """1x, and no other speed."""
    place.cell.set_speed(ClockSpeed.REAL)
    if not place.cell.simulated:
        place.contract.refuses(
            CellError, lambda: place.cell.set_speed(ClockSpeed.VIRTUAL), "to another than 1x", "set_speed"
        )


RULES: tuple[Rule, ...] = (
    observations_are_as_the_spec_says,
    a_plan_gives_one_step_per_pose,
    what_is_sent_is_near_what_is_asked,
    a_new_plan_replaces_the_rest,
    a_plan_can_follow_the_running_one,
    a_brake_drops_the_plan,
    partial(a_plan_that_is_not_finite_is_refused, poison=float("nan")),
    partial(a_plan_that_is_not_finite_is_refused, poison=float("inf")),
    a_plan_of_another_shape_is_refused,
    a_set_latch_forbids_all_motion,
    a_set_latch_stops_homing,
    homing_can_be_braked_and_begun_again,
    a_silent_camera_stops_the_motion,
    the_preflight_names_what_is_wrong,
    layouts_follow_a_seeded_schedule,
    health_tells_rate_and_ages,
    a_real_cell_has_one_clock,
)
