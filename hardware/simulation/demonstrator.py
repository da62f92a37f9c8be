"""Scripted demonstrations of Place Orange, and the files that a VR recorder would write of them.

Recordings contain what a real recorder writes, including idle starts, pauses and clutch-off phases; nothing is trimmed
or resampled here. The styles are in `styles`, the hand's motion in `script`.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from queue import SimpleQueue

import numpy as np
from numpy.typing import NDArray

from datasets import vr_recording
from datasets.episode import Ending
from datasets.errors import StationError
from datasets.observation import FloatArray, Image, Observation, TimeArray
from datasets.randomness import stream
from datasets.rotation import pose_to_action
from datasets.spec import Proprioception
from datasets.vr_recording import VrRecording
from hardware.cell import Layout
from hardware.simulation.cell import SimulatedCell
from hardware.simulation.script import HandPose, Script, hand_quaternion
from hardware.simulation.settings import SimulationSettings
from hardware.simulation.styles import STYLES, Style

Array = NDArray[np.float64]

RECORDER_HZ = 30
"""Rate of the simulated VR recorder."""
_MOST_ATTEMPTS = 20
"""Attempts per requested success before giving up on a style."""
_AT_ONCE = 2
"""Attempts at the same time; most of each runs outside the interpreter's lock."""


class DemonstratorError(StationError):
    """The demonstrator cannot fulfil the request."""


@dataclass(frozen=True, kw_only=True)
class Demonstration:
    """One scripted episode at the cell's rate: T steps, T + 1 observations."""

    style: str
    layout: Layout
    images: dict[str, Image]
    """camera -> uint8 [T+1, height, width, 3]"""
    image_time: dict[str, TimeArray]
    """camera -> s [T+1]"""
    proprioception: FloatArray
    """[T+1, proprioception_dim]"""
    observation_time: TimeArray
    """s [T+1]"""
    tool_pose: Array
    """[T+1, 7] measured, xyz m + quaternion xyzw."""
    action: FloatArray
    """[T, da] the requested actions."""
    sent: FloatArray
    """[T, da]"""
    command_time: TimeArray
    """s [T], start of each period; the pose is due one period later."""
    hand_pose: Array
    """[T, 7] the hand's pose, which is the arm's goal while the clutch is on."""
    hand_gripper: Array
    """[T]"""
    clutch: NDArray[np.bool_]
    """[T]"""
    ending: Ending | None
    """SUCCESS, IRRECOVERABLE, or None when time ran out."""

    @property
    def success(self) -> bool:
        """Whether the orange ended on the filter."""
        return self.ending is Ending.SUCCESS

    @property
    def steps(self) -> int:
        """T."""
        return len(self.action)


def run_episode(
    cell: SimulatedCell,
    style: Style,
    rng: np.random.Generator,
    layout: Layout,
    *,
    teleoperated: bool = False,
    seconds: float = 14.0,
) -> Demonstration:
    """One scripted episode on `cell`, at its control rate.

    Ends on success, on an irrecoverable failure, when the script has ended or after `seconds` on the cell's clock.
    """
    cell.reset_scene(layout)
    log = _Log(cell)
    held: FloatArray | None = None
    for hand in Script(cell, style, rng).poses(teleoperated=teleoperated):
        quaternion = hand_quaternion(hand)
        action = pose_to_action(hand.position, quaternion, hand.gripper, cell.spec.action)
        held = action if hand.clutch or held is None else held
        cell.plan(held[None])
        step = cell.advance()
        assert step is not None  # a plan of one pose was posted
        log.append(step.observation, held, step.sent, step.command_time, hand, quaternion)
        if step.ending is not None or cell.time >= seconds:
            return log.demonstration(style.name, layout, step.ending)
    return log.demonstration(style.name, layout, None)


class _Log:
    """Collects the data of a demonstration."""

    def __init__(self, cell: SimulatedCell) -> None:
        self._cell = cell
        self._observations: list[Observation] = [cell.observe()]
        self._tools = [np.concatenate(cell.tool_pose[:2])]
        self._rows: list[tuple[FloatArray, FloatArray, float, Array, float, bool]] = []

    def append(
        self,
        observation: Observation,
        action: FloatArray,
        sent: FloatArray,
        command_time: float,
        hand: HandPose,
        quaternion: Array,
    ) -> None:
        """Add one step and the observation after it."""
        self._observations.append(observation)
        self._tools.append(np.concatenate(self._cell.tool_pose[:2]))
        pose = np.concatenate([hand.position, quaternion])
        self._rows.append((action, sent, command_time, pose, hand.gripper, hand.clutch))

    def demonstration(self, style: str, layout: Layout, ending: Ending | None) -> Demonstration:
        """The demonstration so far."""
        seen = self._observations
        action, sent, command_time, hand_pose, hand_gripper, clutch = zip(*self._rows, strict=True)
        names = list(seen[0].images)
        return Demonstration(
            style=style,
            layout=layout,
            images={name: np.stack([o.images[name] for o in seen]) for name in names},
            image_time={name: np.array([o.image_times[name] for o in seen]) for name in names},
            proprioception=np.stack([o.proprioception for o in seen]),
            observation_time=np.array([o.time for o in seen]),
            tool_pose=np.stack(self._tools),
            action=np.stack(action),
            sent=np.stack(sent),
            command_time=np.array(command_time),
            hand_pose=np.stack(hand_pose),
            hand_gripper=np.array(hand_gripper),
            clutch=np.array(clutch),
            ending=ending,
        )


@dataclass(frozen=True, kw_only=True)
class RecordingProgress:
    """Another demonstration has been written."""

    path: Path
    style: str
    success: bool
    done: int
    total: int


def record_demonstrations(
    settings: SimulationSettings,
    folder: Path,
    count_by_style: Mapping[str, int],
    seed: int,
    *,
    successes_only: bool = True,
    progress: Callable[[RecordingProgress], None] | None = None,
) -> list[Path]:
    """Write one HDF5 file per demonstration into `folder`, at the recorder's rate; returns all of them in order.

    Attempt i of a style is always the same episode. With `successes_only` failed attempts are discarded and the counts
    are of successes. Existing files are kept: an interrupted call can be repeated.

    Raises:
        DemonstratorError: a style is unknown, or fails so often that the count cannot be reached.
    """
    unknown = sorted(set(count_by_style) - set(STYLES))
    if unknown:
        raise DemonstratorError(f"There is no style {unknown[0]!r}; choose from {', '.join(STYLES)}.")
    folder.mkdir(parents=True, exist_ok=True)
    # a recorder writes joint angles and poses, regardless of what the task observes
    own = {"control_hz": RECORDER_HZ, "proprioception": Proprioception.JOINTS}
    recorder = _Recorder(settings.model_copy(update=own), folder, seed, successes_only=successes_only)
    total, paths = sum(count_by_style.values()), list[Path]()
    with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="demonstrator") as pool:
        for name, count in count_by_style.items():
            attempts = recorder.chosen(STYLES[name], count, pool)
            for path, success in pool.map(partial(recorder.record, STYLES[name]), attempts):
                paths.append(path)
                if progress is not None:
                    progress(
                        RecordingProgress(
                            path=path, style=name, success=success, done=len(paths), total=total
                        )
                    )
    return paths


class _Recorder:
    """Makes the files of attempts. Where failures are discarded it rehearses first: images are most of the work."""

    def __init__(
        self, settings: SimulationSettings, folder: Path, seed: int, *, successes_only: bool
    ) -> None:
        self._rehearsals, self._recordings = SimpleQueue[SimulatedCell](), SimpleQueue[SimulatedCell]()
        """Cells that no thread uses."""
        for _ in range(_AT_ONCE):
            self._rehearsals.put(SimulatedCell(settings, render="on_observe"))
            self._recordings.put(SimulatedCell(settings))
        self._folder, self._seed, self._successes_only = folder, seed, successes_only

    def chosen(self, style: Style, count: int, pool: Executor) -> list[int]:
        """The first `count` attempts to keep. Raises DemonstratorError."""
        if not self._successes_only:
            return list(range(count))
        kept, most = list[int](), _MOST_ATTEMPTS * count
        for first in range(0, most, _AT_ONCE):
            attempts = range(first, min(first + _AT_ONCE, most))
            kept += itertools.compress(attempts, pool.map(partial(self._succeeds, style), attempts))
            if len(kept) >= count:
                return kept[:count]
        raise DemonstratorError(
            f"The style {style.name} gave {len(kept)} successes in {most} attempts, {count} were wanted. "
            "Ask for fewer, or record failures too."
        )

    def record(self, style: Style, attempt: int) -> tuple[Path, bool]:
        """Make sure that the attempt's file exists; returns it, and whether the attempt succeeds."""
        path = self._path(style, attempt)
        if path.exists():
            return path, self._successes_only or bool(vr_recording.read(path).success)
        demonstration = self._perform(self._recordings, style, attempt)
        facts = {"style": style.name, "seed": self._seed, "attempt": attempt, "layout": demonstration.layout}
        vr_recording.write(path, to_recording(demonstration, {"rate_hz": RECORDER_HZ, **facts}))
        return path, demonstration.success

    def _succeeds(self, style: Style, attempt: int) -> bool:
        return self._path(style, attempt).exists() or self._perform(self._rehearsals, style, attempt).success

    def _perform(self, cells: SimpleQueue[SimulatedCell], style: Style, attempt: int) -> Demonstration:
        cell = cells.get()
        try:
            layout = cell.sample_layout(self._seed, f"demonstration/{style.name}", attempt)
            rng = stream(self._seed, f"demonstrator/{style.name}", attempt)
            return run_episode(cell, style, rng, layout, teleoperated=True, seconds=20.0)
        finally:
            cells.put(cell)

    def _path(self, style: Style, attempt: int) -> Path:
        return self._folder / f"{style.name}-{attempt:04d}.h5"


def to_recording(demonstration: Demonstration, attributes: dict[str, object]) -> VrRecording:
    """What the recorder writes: a row per observation; in the last the hand rests and the outcome is pressed."""
    d, rows = demonstration, demonstration.steps + 1
    last = np.arange(rows) == rows - 1
    stretch = np.minimum(np.arange(rows), rows - 2)
    return VrRecording(
        images=d.images,
        image_time=d.image_time,
        joint_angles=d.proprioception[:, :6].astype(np.float64),
        end_effector_pose=d.tool_pose,
        gripper=d.proprioception[:, 6].astype(np.float64),
        observation_time=d.observation_time,
        action_pose=d.hand_pose[stretch],
        action_gripper=d.hand_gripper[stretch],
        action_time=d.observation_time.copy(),
        clutch=d.clutch[stretch],
        success_button=last & d.success,
        failure_button=last & (not d.success),
        success=d.success,
        attributes=attributes,
    )
