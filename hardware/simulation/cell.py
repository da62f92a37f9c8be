"""A simulated cell behind the contract of `hardware.cell`: physics, controller, cameras, success detection.

Its clock is simulated time since the last `reset_scene`. It advances only while the cell moves, so it stands still
during inference, at every clock speed. Everything after `reset_scene(layout)` is a deterministic function of the layout
and the plans. Several cells may run in threads of one process; one cell belongs to one thread at a time.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import mujoco
import numpy as np
from numpy.typing import NDArray

from datasets.observation import FloatArray, Image, Observation
from datasets.rotation import RotationError, action_to_pose, pose_to_action
from hardware.cell import (
    Cell,
    CellError,
    CellHealth,
    Check,
    ClockSpeed,
    Layout,
    NonFiniteCommandError,
    StaleFrameError,
    Step,
    StoppedError,
    require_running,
)
from hardware.latch import StopLatch
from hardware.simulation.arm import (
    TICK,
    ArmKinematics,
    CartesianServo,
    Pose,
    ServoState,
    home_pose,
)
from hardware.simulation.clock import Pacer
from hardware.simulation.motion import way_home, within
from hardware.simulation.place_orange import PlaceOrange, Scene
from hardware.simulation.raycast import RayCamera, View, look_at
from hardware.simulation.scene import STROKE, SUBSTEPS, build_scene
from hardware.simulation.settings import TICK_HZ, SimulationSettings

Array = NDArray[np.float64]
Render = Literal["every_step", "on_observe"]

VIEWS = {
    "third": look_at((0.98, -0.03, 0.60), (0.40, -0.03, 0.08), 46.0),
    "wrist": View(
        position=(0.0, -0.09, 0.04),
        right=(1.0, 0.0, 0.0),
        up=(0.0, -0.826, 0.563),
        fov=74.0,
        site="wrist_camera",
    ),
}
_PHYSICS = mujoco.mjtState.mjSTATE_INTEGRATION
_BRAKE_TICKS = 12
_NEAR = 1e-6


@dataclass(frozen=True, kw_only=True)
class CellState:
    """The complete state of a simulated cell."""

    physics: Array
    servo: ServoState
    plan: FloatArray
    ticks: int
    images: dict[str, Image]
    image_ticks: dict[str, int]
    frame_ticks: dict[str, int]
    frozen: frozenset[str]
    interventions: int


class SimulatedCell(Cell):
    """One xArm-6 with the Place Orange scene."""

    simulated = True
    _plan: FloatArray
    _homing: list[Pose]
    _ticks: int
    _images: dict[str, Image]
    _image_ticks: dict[str, int]
    _frame_ticks: dict[str, int]
    _frozen: frozenset[str]

    def __init__(
        self,
        settings: SimulationSettings,
        latch: StopLatch | None = None,
        speed: ClockSpeed = ClockSpeed.VIRTUAL,
        *,
        render: Render = "every_step",
    ) -> None:
        """Build the cell; with ``render="on_observe"`` only `observe` renders images.

        `advance` then returns the last images with their older image times.
        """
        self.settings = settings
        self.spec = settings.spec
        self._latch = latch
        self._pacer = Pacer(speed)
        self._render = render
        self._model = build_scene()
        self._data = mujoco.MjData(self._model)
        self._tool = self._model.site("tool").id
        self._task = PlaceOrange(self._model, settings.layout)
        kinematics = ArmKinematics()
        self._home = kinematics.solve(home_pose())
        self._servo = CartesianServo(kinematics, self._home)
        self._cameras: dict[str, RayCamera] = {
            camera.name: RayCamera(
                self._model, VIEWS[camera.name], camera.height, camera.width, settings.shadows
            )
            for camera in settings.cameras
        }
        self._ticks_per_step = TICK_HZ // settings.control_hz
        self._interventions = 0
        self._forget()
        self.reset_scene(self.sample_layout(0, "start", 0))

    def connect(self) -> None:
        """Nothing to open."""

    def close(self) -> None:
        """Drop the plan; there is nothing else to release."""
        self._plan = self._plan[:0]
        self._homing = []

    def preflight(self) -> list[Check]:
        """The physics version, the latch and the cameras."""
        checks = [Check(name="physics", ok=True, detail=f"MuJoCo {mujoco.mj_versionString()}")]
        if self._latch is not None:
            checks.append(_check("stop latch", not self._latch.latched, "armed", "set", "Re-arm the stop."))
        return [*checks, *(self._camera_check(name) for name in self._cameras)]

    def watch(self) -> list[Check]:
        """Cameras that have stopped delivering."""
        return [self._camera_check(name) for name in sorted(self._frozen)]

    def observe(self) -> Observation:
        """The newest observation, with fresh images. Raises StaleFrameError."""
        self._require_fresh_frames()
        mujoco.mj_kinematics(self._model, self._data)
        self._take_images()
        return self._observation()

    def plan(self, actions: FloatArray) -> None:
        """Post a plan [n, da].

        Raises:
            NonFiniteCommandError: it contains NaN or infinity; the arm has been braked.
            StoppedError: the stop latch is set.
            CellError: it has the wrong shape.
        """
        self._plan = self._checked(actions)
        self._pacer.start()

    def replan(self, actions: FloatArray, *, after: int, seen: float) -> None:
        """Post a plan [n, da] that follows the next `after` poses of the running one. Raises as `plan`."""
        plan = self._checked(actions)
        require_running(after, len(self._plan))
        self._plan = np.concatenate([self._plan[:after], plan])
        self._pacer.start()

    def advance(self) -> Step | None:
        """Move for one control period; None, and no time passes, when the plan has run out."""
        self._require_armed()
        if not len(self._plan):
            return None
        action, self._plan = self._plan[0], self._plan[1:]
        command_time = self.time
        sent, goal = self._limited(action)
        self._follow(self._servo.path(goal, self._ticks_per_step))
        self._require_fresh_frames()
        mujoco.mj_kinematics(self._model, self._data)
        if self._render == "every_step":
            self._take_images()
        self._pacer.beat()
        return Step(
            observation=self._observation(),
            action=action,
            sent=sent,
            command_time=command_time,
            ending=self._task.judge(self._look()),
        )

    def brake(self) -> None:
        """Drop the plan and decelerate to a hold within a tenth of a second."""
        self._plan = self._plan[:0]
        self._homing = []
        servo = self._servo.state
        if np.abs(servo.velocity).max() > _NEAR or abs(servo.gripper_velocity) > _NEAR:
            for pose in self._servo.coast(_BRAKE_TICKS):
                self._tick(pose)

    def begin_homing(self) -> None:
        """Open the gripper, rise, and go home. Raises StoppedError."""
        self._require_armed()
        self.brake()
        self._homing = way_home(self._servo.state.pose)
        self._pacer.start()

    def advance_homing(self) -> bool:
        """Continue for one control period; True once the arm is home. Raises StoppedError."""
        self._require_armed()
        part, self._homing = self._homing[: self._ticks_per_step], self._homing[self._ticks_per_step :]
        self._follow(part)
        mujoco.mj_kinematics(self._model, self._data)
        return not self._homing

    def sample_layout(self, seed: int, purpose: str, ordinal: int) -> Layout:
        """The start layout of a seeded schedule."""
        return self._task.sample(seed, purpose, ordinal)

    def layout_images(self, layout: Layout) -> dict[str, Image]:
        """How the scene should look, with the arm at home."""
        data = mujoco.MjData(self._model)
        self._arrange(data, layout)
        return {name: camera.render(data) for name, camera in self._cameras.items()}

    def reset_scene(self, layout: Layout) -> None:
        """Set up the scene, the arm at home and at rest, the clock at zero; no earlier state remains."""
        self._arrange(self._data, layout)
        self._servo.reset()
        self._servo.command(self._servo.state.pose, self._data.ctrl)
        self._forget()
        self._take_images()

    def health(self) -> CellHealth:
        """Achieved control rate in wall time, age of frames, limited commands."""
        age = {name: (self._ticks - tick) * TICK for name, tick in self._frame_ticks.items()}
        return CellHealth(
            achieved_hz=self._pacer.rate,
            frame_age=age,
            oldest_frame=self.settings.frame_age,
            interventions=self._interventions,
        )

    def set_speed(self, speed: ClockSpeed) -> None:
        """Change the clock; takes effect with the next tick."""
        self._pacer.speed = speed

    @property
    def time(self) -> float:
        """Simulated seconds since the scene was laid out."""
        return self._ticks * TICK

    @property
    def tool_pose(self) -> tuple[Array, Array, float]:
        """Measured: position [3] m, quaternion [4] xyzw, opening 0..1."""
        quaternion = np.empty(4)
        mujoco.mju_mat2Quat(quaternion, self._data.site_xmat[self._tool])
        return self._data.site_xpos[self._tool].copy(), np.roll(quaternion, -1), self._opening()

    def truth(self) -> Scene:
        """Ground truth about the objects; for demonstrators, automatic operators and tests."""
        mujoco.mj_kinematics(self._model, self._data)
        return self._look()

    def freeze_camera(self, name: str) -> None:
        """Inject a fault: the camera delivers no frames until the scene is reset or the camera is thawed."""
        if name not in self._cameras:
            raise CellError(f"There is no camera {name!r} here; choose one of {', '.join(self._cameras)}.")
        self._frozen |= {name}

    def thaw_camera(self, name: str) -> None:
        """End the fault."""
        self._frozen -= {name}
        self._frame_ticks[name] = self._ticks

    def save_state(self) -> CellState:
        """The cell's complete state, without clock speed and latch."""
        physics = np.empty(mujoco.mj_stateSize(self._model, _PHYSICS))
        mujoco.mj_getState(self._model, self._data, physics, _PHYSICS)
        return CellState(
            physics=physics,
            servo=self._servo.state,
            plan=self._plan.copy(),
            ticks=self._ticks,
            images=dict(self._images),
            image_ticks=dict(self._image_ticks),
            frame_ticks=dict(self._frame_ticks),
            frozen=self._frozen,
            interventions=self._interventions,
        )

    def restore_state(self, state: CellState) -> None:
        """Continue from `state`, bit for bit; homing in progress is dropped."""
        mujoco.mj_setState(self._model, self._data, state.physics, _PHYSICS)
        mujoco.mj_kinematics(self._model, self._data)
        self._servo.state = state.servo
        self._plan, self._ticks, self._homing = state.plan.copy(), state.ticks, []
        self._images, self._image_ticks = dict(state.images), dict(state.image_ticks)
        self._frame_ticks, self._frozen = dict(state.frame_ticks), state.frozen
        self._interventions = state.interventions

    def _forget(self) -> None:
        """Reset everything except physics and servo to before the first tick."""
        self._plan = np.zeros((0, self.spec.da), np.float32)
        self._homing = []
        self._ticks = 0
        self._frozen = frozenset()
        self._frame_ticks = dict.fromkeys(self._cameras, 0)
        self._images = {}
        self._image_ticks = {}

    def _arrange(self, data: mujoco.MjData, layout: Layout) -> None:
        mujoco.mj_resetData(self._model, data)
        data.qpos[:6] = self._home
        data.qpos[6:8] = STROKE
        self._task.lay_out(data, layout)
        mujoco.mj_kinematics(self._model, data)

    def _tick(self, pose: Pose) -> None:
        self._servo.command(pose, self._data.ctrl)
        mujoco.mj_step(self._model, self._data, SUBSTEPS)
        self._ticks += 1
        for name in self._cameras:
            if name not in self._frozen:
                self._frame_ticks[name] = self._ticks
        self._pacer.spend(TICK)

    def _follow(self, way: list[Pose]) -> None:
        for pose in way:
            self._require_armed()
            self._tick(pose)

    def _camera_check(self, name: str) -> Check:
        remedy = f"Let camera {name} deliver again, or reset the scene."
        return _check(f"camera {name}", name not in self._frozen, "delivers", "silent", remedy)

    def _require_armed(self) -> None:
        if self._latch is not None and self._latch.latched:
            self.brake()
            raise StoppedError("The stop latch is set; the arm was braked. Re-arm the stop to move again.")

    def _require_fresh_frames(self) -> None:
        for name, tick in self._frame_ticks.items():
            age = (self._ticks - tick) * TICK
            if age > self.settings.frame_age:
                self.brake()
                raise StaleFrameError(
                    f"Camera {name}'s newest frame is {age:.2f} s old, the limit is {self.settings.frame_age:.2f} s; "
                    "the arm was braked. Check the camera, then restart the episode."
                )

    def _checked(self, actions: FloatArray) -> FloatArray:
        self._require_armed()
        plan = np.array(actions, dtype=np.float32)
        if plan.ndim != 2 or plan.shape[1] != self.spec.da:
            raise CellError(
                f"A plan has the shape {plan.shape}, this cell takes [n, {self.spec.da}]. "
                "Check the task's rotation and gripper settings."
            )
        if not np.isfinite(plan).all():
            self.brake()
            raise NonFiniteCommandError(
                "A plan contained NaN or infinity. None of it was sent and the arm was braked; check the policy."
            )
        return plan

    def _limited(self, action: FloatArray) -> tuple[FloatArray, Pose]:
        """What is sent for `action`: the action itself, or the nearest one that the limits allow."""
        try:
            position, quaternion, gripper = action_to_pose(action, self.spec.action)
        except RotationError as error:
            self.brake()
            raise NonFiniteCommandError(f"A planned pose is invalid; the arm was braked. {error}") from error
        wanted = Pose(position=position, quaternion=np.roll(quaternion, 1), gripper=float(gripper))
        allowed = within(self.settings.limits, self._servo.state.pose, wanted, self.spec.dt)
        if allowed is wanted:
            return action, wanted
        self._interventions += 1
        sent = pose_to_action(
            allowed.position, np.roll(allowed.quaternion, -1), allowed.gripper, self.spec.action
        )
        return sent, allowed

    def _look(self) -> Scene:
        return self._task.look(self._data, self._data.site_xpos[self._tool].copy(), self._opening())

    def _opening(self) -> float:
        return float((self._data.qpos[6] + self._data.qpos[7]) / (2.0 * STROKE))

    def _take_images(self) -> None:
        for name, camera in self._cameras.items():
            if name not in self._frozen and self._image_ticks.get(name) != self._ticks:
                self._images[name] = camera.render(self._data)
                self._image_ticks[name] = self._ticks

    def _observation(self) -> Observation:
        proprioception = np.empty(self.spec.proprioception_dim, np.float32)
        if self.spec.observes_pose:
            proprioception[:] = pose_to_action(*self.tool_pose, replace(self.spec.action, gripper=True))
        else:
            proprioception[:6] = self._data.qpos[:6]
            proprioception[6] = self._opening()
        return Observation(
            images=dict(self._images),
            proprioception=proprioception,
            time=self.time,
            image_times={name: tick * TICK for name, tick in self._image_ticks.items()},
        )


def _check(name: str, ok: bool, fine: str, wrong: str, remedy: str) -> Check:
    return Check(name=name, ok=ok, detail=fine if ok else wrong, remedy="" if ok else remedy)
