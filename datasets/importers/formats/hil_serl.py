"""HIL-SERL demonstrations: pickled lists of transitions, read by an unpickler that builds only arrays.

A transition is ``{observations, actions, next_observations, rewards, masks, dones, infos}``; ``dones`` marks episode
ends. Numbers in observations and infos become columns named by their path. Actions are scaled increments in the tool
frame, so the next pose serves as the action. There are no time stamps. A pickle is loaded whole.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from datasets.importers import fingerprints
from datasets.importers.defects import Defect, RefusedError
from datasets.importers.files import images, unpickling
from datasets.importers.interface import Format, RawEpisode, require_size
from datasets.importers.mapping import ActionKind, Arm, Mapping, Representation, Track
from datasets.importers.recording import Array, Frames, if_there
from datasets.spec import DataSpec

_POSE = "tcp_pose"
_MEMBERS = ("observations", "actions", "dones")


class HilSerlFormat(Format):
    """HIL-SERL pickles."""

    name: ClassVar[str] = "hil-serl"
    description: ClassVar[str] = "HIL-SERL demonstrations, pickled transitions"
    members: ClassVar[tuple[str, ...]] = ("observations", "actions", "dones")
    suffixes: ClassVar[tuple[str, ...]] = (".pkl", ".pickle")

    def __init__(self) -> None:
        self._held: tuple[Path, int, list[dict[str, Any]]] | None = None

    def recognises(self, path: Path) -> bool:
        return path.is_file() and path.name.endswith(self.suffixes) and _looks_right(path)

    def keys(self, path: Path) -> Iterator[str]:
        count = len(_bounds(self._load(path)))
        yield from (str(number) for number in range(count))

    @contextmanager
    def open(self, path: Path, key: str) -> Iterator[RawEpisode]:
        transitions = self._load(path)
        bounds = _bounds(transitions)
        if not key.isdecimal() or int(key) >= len(bounds):
            raise RefusedError(Defect.MISSING_MEMBER, f"it has no episode '{key}', only {len(bounds)}")
        first, end = bounds[int(key)]
        episode = transitions[first:end]
        columns, frames = _collected(episode)
        _require_one_episode(episode)
        rewards = columns.get("rewards")
        yield RawEpisode(
            columns=columns, frames=frames, success=None if rewards is None else bool((rewards > 0).any())
        )

    def propose(self, raw: RawEpisode, spec: DataSpec) -> Mapping:
        pose = next((name for name in raw.columns if name.endswith(f"/{_POSE}")), None)
        gripper = next((name for name in raw.columns if name.endswith("/gripper_pose")), None)
        observed = Track(gripper=gripper)
        quaternion = pose is not None and raw.columns[pose].shape[1] == _WITH_QUATERNION
        if pose is not None:
            observed = Track(
                position=f"{pose}[0:3]",
                rotation=f"{pose}[3:7]" if quaternion else f"{pose}[3:6]",
                representation=Representation.QUATERNION if quaternion else None,
                gripper=gripper,
            )
        return Mapping(
            arms=(Arm(observed=observed),),
            actions=ActionKind.ACHIEVED,
            quaternion="xyzw" if quaternion else None,
            angle="rad",
            length="m",
        )

    def fingerprint(self, path: Path, key: str) -> str:
        return fingerprints.of_file(path, key)

    def memory(self, path: Path) -> int:
        return unpickling.EXPANSION * path.stat().st_size

    def _load(self, path: Path) -> list[dict[str, Any]]:
        """The transitions; the last pickle stays cached, because its episodes are opened one by one."""
        stamp = path.stat().st_mtime_ns
        if self._held is None or self._held[:2] != (path, stamp):
            self._held = None
            self._held = (path, stamp, _read(path))
        return self._held[2]


_WITH_QUATERNION = 7


def _looks_right(path: Path) -> bool:
    """Whether the first bytes of a pickle mention transitions; nothing is unpickled."""
    with path.open("rb") as file:
        head = file.read(_HEAD)
    return head[:1] in (b"\x80", b"]", b"(") and b"observations" in head


_HEAD = 2**16


def _read(path: Path) -> list[dict[str, Any]]:
    content = unpickling.read(path)
    if not isinstance(content, list) or not content or not all(_is_transition(entry) for entry in content):
        raise RefusedError(Defect.UNREADABLE, "the pickle is not a list of transitions")
    return content


def _is_transition(entry: Any) -> bool:
    return isinstance(entry, dict) and all(name in entry for name in _MEMBERS)


def _bounds(transitions: list[dict[str, Any]]) -> list[tuple[int, int]]:
    """[first, end) of each episode; one truncated by the end of the file counts."""
    try:
        ends = [
            index + 1 for index, entry in enumerate(transitions) if bool(np.asarray(entry["dones"]).any())
        ]
    except (ValueError, TypeError) as error:
        raise RefusedError(Defect.UNREADABLE, "'dones' are not booleans, one per transition") from error
    if not ends or ends[-1] != len(transitions):
        ends.append(len(transitions))
    return list(zip([0, *ends[:-1]], ends, strict=True))


def _require_one_episode(episode: list[dict[str, Any]]) -> None:
    """Refuse transitions that do not connect: some are missing, or an episode end is not marked."""
    for name in (
        _leaves(episode[0]["observations"], "") if isinstance(episode[0]["observations"], dict) else ()
    ):
        if "next_observations" not in episode[0]:
            return
        after = [_leaf(transition, f"next_observations/{name}") for transition in episode[:-1]]
        before = [_leaf(transition, f"observations/{name}") for transition in episode[1:]]
        for number, (reached, begun) in enumerate(zip(after, before, strict=True)):
            if reached is None or begun is None or reached.dtype.kind != "f" or reached.shape != begun.shape:
                break
            if not np.allclose(reached, begun, rtol=0, atol=_SAME, equal_nan=True):
                raise RefusedError(
                    Defect.INDEX,
                    f"transition {number} leads to another '{name}' than transition {number + 1} begins with: some are "
                    "missing in between, or 'dones' does not mark an episode's end",
                )


_SAME = 1e-4


def _collected(episode: list[dict[str, Any]]) -> tuple[dict[str, Array], dict[str, Frames]]:
    """Columns and images: members of the first transition that all others share."""
    columns: dict[str, Array] = {}
    frames: dict[str, Frames] = {}
    for name in _leaves(episode[0], ""):
        values = [_leaf(transition, name) for transition in episode]
        if any(value is None or value.shape != values[0].shape for value in values):  # type: ignore[union-attr]
            continue
        rows = [value for value in values if value is not None]
        shown = _Images(rows)
        if rows[0].ndim in _WITH_IMAGES and images.is_colour(shown):
            camera = name.removeprefix("observations/")
            frames[camera] = if_there(partial(images.as_frames, shown, camera))
        elif rows[0].dtype.kind in "fiub" and rows[0].ndim <= _NUMBERS:
            require_size((len(rows), rows[0].size), name)
            columns[name] = np.stack([np.asarray(row, np.float64).reshape(-1) for row in rows])
    return columns, frames


_NUMBERS = 2
"""Maximum dimensions of a row of numbers; one is the recorder's history."""


_WITH_IMAGES = (3, 4)
"""Dimensions of a row with an image; the fourth is the recorder's history."""


class _Images:
    """Images of many transitions as one array, stacked only when sliced."""

    def __init__(self, rows: list[np.ndarray[Any, np.dtype[Any]]]) -> None:
        self._rows = rows
        self.dtype = rows[0].dtype
        self.shape = (len(rows), *rows[0].shape[-3:])

    def __getitem__(self, wanted: slice | int) -> np.ndarray[Any, np.dtype[Any]]:
        # the last image of a history is the current one
        if isinstance(wanted, int):
            return np.asarray(self._rows[wanted].reshape(-1, *self.shape[1:])[-1])
        return np.stack([row.reshape(-1, *self.shape[1:])[-1] for row in self._rows[wanted]])


def _leaves(value: Any, name: str) -> Iterator[str]:
    """Paths of all non-dictionary values, except ``next_observations``, which belong to the next transition."""
    if isinstance(value, dict):
        for key, member in value.items():
            if isinstance(key, str) and key != "next_observations" and "/" not in key:
                yield from _leaves(member, f"{name}/{key}" if name else key)
    elif name:
        yield name


def _leaf(transition: dict[str, Any], name: str) -> np.ndarray[Any, np.dtype[Any]] | None:
    value: Any = transition
    for key in name.split("/"):
        if not isinstance(value, dict) or key not in value:
            return None
        value = value[key]
    if isinstance(value, bool | int | float | np.generic | np.ndarray):
        return np.asarray(value)
    return None
