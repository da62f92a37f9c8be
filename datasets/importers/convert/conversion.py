"""Conversion of a checked recording to an episode along its timeline: numbers resampled, images picked and resized.

Memory holds one episode at the task's image sizes; recorded images pass through one at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import cv2
import numpy as np

from datasets.episode import Episode, EpisodeHeader
from datasets.importers.convert.timeline import Timeline, nearest, numbers_at, poses_at, tick
from datasets.importers.defects import Defect, Note, RefusedError, repaired, warning
from datasets.importers.interface import OwnEpisode
from datasets.importers.recording import ArmTrack, Array, Frames, Indices, Recording
from datasets.observation import FloatArray, Image
from datasets.rotation import pose_to_action
from datasets.spec import CameraSpec, DataSpec

MOST_BYTES = 3 * 2**28
"""Maximum bytes of a finished episode's images; larger ones are refused, as they could not be trained on either."""
FROZEN = 1.0
"""s after which a camera that repeats the same image counts as frozen."""
MOST_APART = 1.0
"""Maximum s between an observation and the command of the same tick; more means two different clocks."""

Beat = Callable[[], None]
"""Called often as a sign of life to a waiting process."""


def convert(
    recording: Recording, line: Timeline, spec: DataSpec, header: EpisodeHeader, beat: Beat
) -> tuple[Episode, tuple[Note, ...]]:
    """The episode: T+1 observations, T actions. Action t is the pose commanded for the time of observation t+1.

    Raises:
        RecordingError: an image cannot be read, commands use another clock, or the episode is too big.
    """
    kept, time = line.kept, line.step_time
    require_memory(len(time), spec)
    due = _commanded(recording, line) + tick(recording.action_time)
    parts = []
    for arm in recording.arms:
        pose = poses_at(arm.action_pose[kept], due, time[1:])
        gripper = np.interp(time[1:], due, arm.action_gripper[kept])
        parts.append(pose_to_action(pose[:, :3], pose[:, 3:], gripper, spec.action))
    action = np.concatenate(parts, axis=1)
    notes: list[Note] = []
    images = {camera.name: _images(recording, line, camera, notes, beat) for camera in spec.cameras}
    episode = Episode(
        header=header,
        images=images,
        proprioception=_proprioception(recording, line, spec),
        observation_time=line.recorded[0] + time,
        action=action,
        sent=action,
        command_time=line.recorded[0] + time[:-1],
    )
    return episode, tuple(notes)


def restore(own: OwnEpisode, frames: dict[str, Frames], header: EpisodeHeader, beat: Beat) -> Episode:
    """Restore an exported episode of the same spec exactly.

    Raises:
        RecordingError: an image cannot be read, or lengths are inconsistent.
    """
    steps, spec = len(own.action), own.spec
    lengths = (
        len(own.proprioception) - 1,
        len(own.observation_time) - 1,
        len(own.sent),
        len(own.command_time),
    )
    cameras = {camera.name: frames[camera.name] for camera in spec.cameras if camera.name in frames}
    if len(cameras) != len(spec.cameras):
        raise RefusedError(Defect.MISSING_MEMBER, f"it has only the cameras {', '.join(cameras) or 'none'}")
    counts = {steps, *lengths, *(images.count - 1 for images in cameras.values())}
    if counts != {steps}:
        raise RefusedError(Defect.UNEQUAL_LENGTHS, f"its members have {sorted(counts)} steps")
    with np.errstate(over="ignore"):
        kept = [values.astype(np.float32) for values in (own.proprioception, own.action, own.sent)]
    numbers: list[Array | FloatArray] = [*kept, own.observation_time, own.command_time]
    for values in numbers:
        if not np.isfinite(values).all():
            raise RefusedError(Defect.NOT_FINITE, "it holds NaN or infinity")
    require_memory(steps + 1, spec)
    every = np.arange(steps + 1)
    return Episode(
        header=header,
        images={c.name: _resized(cameras[c.name], every, c, beat) for c in spec.cameras},
        proprioception=kept[0],
        observation_time=own.observation_time,
        action=kept[1],
        sent=kept[2],
        command_time=own.command_time,
    )


def resizes(frames: dict[str, Frames], spec: DataSpec) -> Iterator[Note]:
    """A note per camera whose images are resized."""
    for camera in spec.cameras:
        height, width = frames[camera.name].height, frames[camera.name].width
        if (height, width) != (camera.height, camera.width):
            text = f"resized '{camera.name}' from {width}x{height} to {camera.width}x{camera.height}"
            yield repaired(Defect.RESIZED, text)
            if height * camera.width != width * camera.height:
                text = f"'{camera.name}' changes its proportions: the recorder's image is not cropped"
                yield warning(Defect.RESIZED, text)


def require_memory(observations: int, spec: DataSpec) -> None:
    """Refuse an episode whose images would not fit into memory.

    Raises:
        RefusedError: too big.
    """
    size = observations * sum(3 * camera.height * camera.width for camera in spec.cameras)
    if size > MOST_BYTES:
        raise RefusedError(
            Defect.TOO_BIG,
            f"{observations} observations take {size / 2**30:.1f} GB in memory; cut the recording into episodes",
        )


def _commanded(recording: Recording, line: Timeline) -> Array:
    """[n] s, closed time of each kept command."""
    given = line.close(recording.action_time[line.kept])
    apart = float(np.abs(given - line.closed).max())
    if apart > MOST_APART:
        raise RefusedError(
            Defect.TIME_ORDER,
            f"'action_time' is up to {apart:.1f} s away from 'observation_time'; were they stamped by two clocks?",
        )
    return given


def _images(recording: Recording, line: Timeline, camera: CameraSpec, notes: list[Note], beat: Beat) -> Image:
    """[T+1, height, width, 3]: for each step, the recorded image nearest in time."""
    taken = line.close(recording.image_time[camera.name][line.kept])
    chosen = nearest(taken, line.step_time)
    late = float(np.abs(taken[chosen] - line.step_time).max())
    if late > FROZEN:
        raise RefusedError(
            Defect.GAP, f"'{camera.name}' has no frame within {late:.1f} s of some control step"
        )
    images = _resized(recording.frames[camera.name], line.kept[chosen], camera, beat)
    # a recorder slower than the control rate legitimately repeats an image: only different indices can freeze
    same = (images[1:] == images[:-1]).reshape(len(images) - 1, -1).all(1) & (np.diff(chosen) > 0)
    longest = _longest_run(same) * float(np.median(np.diff(line.step_time)))
    if longest >= FROZEN:
        text = f"'{camera.name}' repeats the same image for {longest:.1f} s; was it frozen?"
        notes.append(warning(Defect.FROZEN_IMAGES, text))
    return images


def _longest_run(flags: Array) -> int:
    longest = run = 0
    for flag in flags.tolist():
        run = run + 1 if flag else 0
        longest = max(longest, run)
    return longest


def _resized(frames: Frames, indices: Indices, camera: CameraSpec, beat: Beat) -> Image:
    """[len(indices), height, width, 3] at the task's size."""
    result = np.empty((len(indices), camera.height, camera.width, 3), np.uint8)
    size = (camera.width, camera.height)
    for row, image in enumerate(frames.pick(indices)):
        fits = image.shape[:2] == result.shape[1:3]
        result[row] = image if fits else cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        beat()
    return result


def _proprioception(recording: Recording, line: Timeline, spec: DataSpec) -> FloatArray:
    """[T+1, proprioception_dim] in the order of the spec's names: joints (or pose) and gripper, arm by arm."""
    time = line.step_time
    measured = [_measured(arm, line, spec).T for arm in recording.arms]
    numbers = iter(np.concatenate(measured) if measured else ())
    grippers = iter([np.interp(time, line.closed, arm.gripper[line.kept]) for arm in recording.arms])
    columns = [next(grippers) if "gripper" in name else next(numbers) for name in spec.proprioception]
    if not columns:
        return np.zeros((len(time), 0), np.float32)
    return np.stack(columns, axis=1).astype(np.float32)


def _measured(arm: ArmTrack, line: Timeline, spec: DataSpec) -> Array:
    """[T+1, n] joint angles, or the pose in the task's action representation."""
    if not spec.observes_pose:
        return numbers_at(arm.joint_angles[line.kept], line.closed, line.step_time)
    pose = poses_at(arm.pose[line.kept], line.closed, line.step_time)
    written = pose_to_action(pose[:, :3], pose[:, 3:], 0.0, replace(spec.action, gripper=False))
    return np.asarray(written, np.float64)
