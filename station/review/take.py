"""One recording for playback: images and numbers frame by frame, committed or cut off."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from datasets.episode import Episode
from datasets.observation import FloatArray, Image, TimeArray
from datasets.spec import ActionSpec, Rotation
from datasets.store import StoreError
from datasets.wording import counted
from station.session.engine.partial import read


@dataclass(frozen=True, kw_only=True)
class Group:
    """Values plotted together over time."""

    title: str
    names: tuple[str, ...]
    """One per column."""
    time: TimeArray
    """[M] s since the first frame."""
    values: FloatArray
    """[M, len(names)]"""


@dataclass(frozen=True, kw_only=True)
class Take:
    """N frames; T commands, the last frame being what the last one led to (T = N - 1), or cut off before it (T = N)."""

    id: str
    images: dict[str, Image]
    """camera -> uint8 [N, height, width, 3]"""
    time: TimeArray
    """[N] s since the first frame, never falling."""
    groups: tuple[Group, ...]
    """What can be drawn: actions, what was sent, proprioception, the gripper."""
    about: str = ""
    """Where it comes from, in one line."""
    trouble: str = ""
    """What is unreadable."""

    @property
    def frames(self) -> int:
        """N."""
        return len(self.time)


def take_of(episode: Episode) -> Take:
    """A committed episode."""
    header, spec = episode.header, episode.header.spec
    parts = {
        "proprioception": episode.proprioception,
        "action": episode.action,
        "sent": episode.sent,
        "observation_time": episode.observation_time,
        "command_time": episode.command_time,
    }
    about = [f"{header.kind.value} {header.ordinal}", f"ended by {header.ending.value}"]
    about += [header.method] if header.method else []
    about += [f"policy version {header.policy_version}", f"recorded {header.created[:19].replace('T', ' ')}"]
    return Take(
        id=header.id,
        images=episode.images,
        time=_elapsed(episode.observation_time, episode.observation_time, spec.control_hz),
        groups=_groups(parts, action_names(spec.action), spec.proprioception, spec.control_hz),
        about=" · ".join(about),
    )


def label_over_time(take: Take, verdict: str) -> Group:
    """0 until the last frame, where a success earns its reward of 1."""
    values = np.zeros((take.frames, 1), np.float32)
    values[-1:] = verdict == "success"
    return Group(
        title=f"label: {verdict} (1 where success is rewarded)",
        names=("label",),
        time=take.time,
        values=values,
    )


def take_of_partial(folder: Path, *, running: bool = False) -> Take:
    """What was flushed of an episode that was cut off, or that is `running`.

    Raises:
        StoreError: none of its pieces can be read.
    """
    pieces, holes = read(folder)
    bad = [f"{hole.path.name} ({hole.detail})" for hole in holes]
    if not pieces:
        why = bad[0] if bad else "it is empty"
        raise StoreError(f"Nothing of {folder} can be read: {why}. `station prune` can remove it.")
    parts: dict[str, NDArray[Any]] = {
        name: np.concatenate([piece[name] for piece in pieces]) for name in pieces[0]
    }
    steps = counted(len(parts["action"]), "step")
    about = f"running: {steps} so far" if running else f"cut off after {steps}"
    cameras = {
        name.removeprefix("images."): part for name, part in parts.items() if name.startswith("images.")
    }
    names = _numbered("proprioception", parts["proprioception"]), _numbered("action", parts["action"])
    return Take(
        id=folder.name,
        images=cameras,
        time=_elapsed(parts["observation_time"], parts["observation_time"], 1.0),
        groups=_groups(parts, names[1], names[0], 1.0),
        about=f"{about} · not counted · cannot be labelled" + " yet" * running,
        trouble=f"not readable: {', '.join(bad)}" if bad else "",
    )


def action_names(spec: ActionSpec) -> tuple[str, ...]:
    """One name per number of an action."""
    rotation = {
        Rotation.ROTATION_VECTOR: ("rx", "ry", "rz"),
        Rotation.ROT6D: tuple(f"r{row}{column}" for row in "12" for column in "xyz"),
        Rotation.QUATERNION: ("qx", "qy", "qz", "qw"),
    }[spec.rotation]
    names = ("x", "y", "z", *rotation, *(("gripper",) if spec.gripper else ()))
    if spec.arms == 1:
        return names
    return tuple(f"{name} {arm + 1}" for arm in range(spec.arms) for name in names)


def _groups(
    parts: dict[str, Any], actions: tuple[str, ...], observed: tuple[str, ...], hz: float
) -> tuple[Group, ...]:
    seen, commanded = (
        _elapsed(parts[name], parts["observation_time"], hz) for name in ("observation_time", "command_time")
    )
    groups = [
        Group(title="action", names=actions, time=commanded, values=parts["action"]),
        Group(title="sent to the arm", names=actions, time=commanded, values=parts["sent"]),
        Group(title="proprioception", names=observed, time=seen, values=parts["proprioception"]),
    ]
    return (*groups, *(_gripper(group) for group in groups[::2] if _is_gripper(group.names)))


def _is_gripper(names: tuple[str, ...]) -> bool:
    return any("gripper" in name for name in names)


def _gripper(group: Group) -> Group:
    columns = [index for index, name in enumerate(group.names) if "gripper" in name]
    return Group(
        title=f"gripper, {group.title} (0 closed, 1 open)",
        names=tuple(group.names[index] for index in columns),
        time=group.time,
        values=group.values[:, columns],
    )


def _numbered(word: str, values: NDArray[Any]) -> tuple[str, ...]:
    return tuple(f"{word} {index + 1}" for index in range(values.shape[1]))


def _elapsed(stamps: TimeArray, observed: TimeArray, hz: float) -> TimeArray:
    """s since the first frame; where stamps were not recorded (all equal), by the control rate."""
    if len(stamps) > 1 and not np.ptp(stamps) > 0:
        return np.arange(len(stamps), dtype=np.float64) / hz
    start = observed[0] if len(observed) else 0.0
    return np.asarray(np.maximum.accumulate(stamps - start), dtype=np.float64) if len(stamps) else stamps
