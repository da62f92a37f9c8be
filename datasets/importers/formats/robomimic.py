"""robomimic HDF5, many episodes per file: ``data/demo_N`` with actions, rewards, dones and ``obs/*``.

Isaac Lab writes the same, with a success flag on each episode. The attribute ``env_args`` of ``data`` describes the
simulator: control rate, and whether actions are increments. Files written by robosuite itself hold simulator states
instead of observations; they are refused with instructions to convert them. Exports of this station are recognised by
the spec they carry and restored exactly.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import h5py
import numpy as np

from datasets.importers import fingerprints
from datasets.importers.defects import Defect, RefusedError, warning
from datasets.importers.enter.reimport import outcome_named, spec_from
from datasets.importers.files import hdf5, images
from datasets.importers.interface import Format, OwnEpisode, RawEpisode
from datasets.importers.mapping import ActionKind, Arm, Mapping, Representation, Track
from datasets.importers.recording import Array, ArrayFrames, Frames, JoinedFrames, if_there
from datasets.plain_text import from_json
from datasets.spec import DataSpec
from datasets.vr_recording import RecordingError
from datasets.wording import counted

_ROBOSUITE = 1
"""robomimic's type number for robosuite environments."""
_ISAAC = 2
"""The type number of Isaac Lab."""
_PANDA_FINGER = 0.04
"""Travel of one finger of the Panda hand, m."""


class RobomimicFormat(Format):
    """robomimic HDF5."""

    name: ClassVar[str] = "robomimic"
    description: ClassVar[str] = "robomimic data sets, HDF5"
    members: ClassVar[tuple[str, ...]] = ("data/demo_0/actions", "data/demo_0/obs")
    suffixes: ClassVar[tuple[str, ...]] = hdf5.SUFFIXES

    def recognises(self, path: Path) -> bool:
        if not hdf5.has(path, "data"):
            return False
        with hdf5.opened(path) as file:
            data = file["data"]
            return isinstance(data, h5py.Group) and any(re.fullmatch(r"demo_\d+", name) for name in data)

    def keys(self, path: Path) -> Iterator[str]:
        with hdf5.opened(path) as file:
            names = [name for name in hdf5.group(file, "data") if re.fullmatch(r"demo_\d+", name)]
        yield from sorted(names, key=lambda name: int(name[5:]))

    def instructions(self, path: Path) -> dict[str, str]:
        with hdf5.opened(path) as file:
            data = hdf5.group(file, "data")
            keys = [name for name in data if re.fullmatch(r"demo_\d+", name)]
            told = {key: _instruction(data, key) for key in keys}
        return {key: words for key, words in told.items() if words}

    def unlisted(self, path: Path) -> Iterator[RecordingError]:
        with hdf5.opened(path) as file:
            for text in _claims(file):
                yield RefusedError(Defect.INDEX, text)

    @contextmanager
    def open(self, path: Path, key: str) -> Iterator[RawEpisode]:
        with hdf5.opened(path) as file:
            demo = hdf5.group(hdf5.group(file, "data"), key)
            if "obs" not in demo:
                raise RefusedError(
                    Defect.MISSING_MEMBER,
                    "it holds simulator states and no observations; render them with robomimic's "
                    "dataset_states_to_obs script and import what that writes",
                )
            _require_samples(demo)
            facts = _facts(file)
            own = _own(demo, facts)
            columns = {} if own else _columns(demo)
            yield RawEpisode(
                columns=columns,
                unstored=hdf5.unstored({name: demo[name] for name in columns}),
                frames=_frames(demo, own),
                success=_success(file, demo, key),
                attributes=_attributes(facts, _instruction(hdf5.group(file, "data"), key)),
                facts=facts,
                notes=(_WORLD,) if facts.get("type") == _ROBOSUITE else (),
                depth=tuple(name for name, one in hdf5.group(demo, "obs").items() if images.is_depth(one)),
                own=own,
            )

    def propose(self, raw: RawEpisode, spec: DataSpec) -> Mapping:
        if raw.facts.get("type") == _ISAAC:
            return _isaac(raw, spec)
        simulated = raw.facts.get("type") == _ROBOSUITE
        cameras = {c.name: f"{c.name}_image" for c in spec.cameras if f"{c.name}_image" in raw.frames}
        arms = tuple(_arm(raw, f"robot{number}_", simulated) for number in range(spec.action.arms))
        return Mapping(
            cameras=cameras,
            arms=arms,
            colour="rgb" if simulated else None,
            quaternion="xyzw" if simulated else None,
            angle="rad" if simulated else None,
            length="m" if simulated else None,
            **_controls(raw.facts),
        )

    def fingerprint(self, path: Path, key: str) -> str:
        with hdf5.opened(path) as file:
            demo = hdf5.group(hdf5.group(file, "data"), key)
            return fingerprints.of_arrays(self.name, _numbers_of(demo))


def _numbers_of(demo: h5py.Group) -> dict[str, Array]:
    """The numbers that identify an episode; observation groups came later and count only if there is nothing else."""
    if "obs" not in demo:
        return _states(demo)
    flat = _columns(demo, nested=False)
    return flat if len(flat) > 1 else _columns(demo)


_WORLD = warning(
    Defect.FRAME, "poses are in the simulator's world; say --frame where the arm's base stands elsewhere"
)


def _facts(file: h5py.File) -> dict[str, Any]:
    text = file["data"].attrs.get("env_args", "{}")
    try:
        facts = from_json(text)
    except (ValueError, TypeError) as error:
        raise RefusedError(
            Defect.UNREADABLE,
            "the attribute 'env_args' of its group 'data' is not valid JSON; fix it, or delete it and answer instead",
        ) from error
    return facts if isinstance(facts, dict) else {}


def _attributes(facts: dict[str, Any], instruction: str) -> dict[str, Any]:
    attributes: dict[str, Any] = {"env_name": str(facts.get("env_name", ""))}
    return {**attributes, "instruction": instruction} if instruction else attributes


def _instruction(data: h5py.Group, key: str) -> str:
    """An attribute of the demonstration (RoboCasa writes JSON), else that of the whole file (LIBERO's)."""
    demo = hdf5.group(data, key)
    own = hdf5.words(demo, "instruction", "language_instruction", "lang")
    return (
        own
        or _in_json(hdf5.words(demo, "ep_meta"), "lang")
        or hdf5.words(data, "language_instruction")
        or _in_json(hdf5.words(data, "problem_info"), "language_instruction")
    )


def _in_json(text: str, name: str) -> str:
    try:
        facts = from_json(text)
    except ValueError:
        return ""
    words = facts.get(name) if isinstance(facts, dict) else None
    return " ".join(words) if isinstance(words, list) else words if isinstance(words, str) else ""


def _isaac(raw: RawEpisode, spec: DataSpec) -> Mapping:
    """The mapping for Isaac Lab's usual names: metres, radians, RGB images.

    The quaternion order changed between versions, joint angles may be relative to the start pose, and the meaning of
    actions depends on the environment, so all of these are asked.
    """
    names = {name.split("/")[-1]: name for name in raw.columns}
    observed = Track(
        position=names.get("eef_pos"),
        rotation=names.get("eef_quat"),
        representation=Representation.QUATERNION if "eef_quat" in names else None,
        gripper=f"{names['gripper_pos']}[0:1]" if "gripper_pos" in names else None,
    )
    arms = (Arm(observed=observed), *(Arm(),) * (spec.action.arms - 1))
    return Mapping(arms=arms, colour="rgb", angle="rad", length="m", actions=None)


def _columns(demo: h5py.Group, *, nested: bool = True) -> dict[str, Array]:
    observations = hdf5.group(demo, "obs")
    columns = {
        f"obs/{name}": hdf5.numbers(m, name)
        for name, m in _members(observations, nested=nested)
        if hdf5.is_numeric(m)
    }
    return {"actions": hdf5.numbers(hdf5.dataset(demo, "actions"), "actions"), **columns}


def _require_samples(demo: h5py.Group) -> None:
    """Refuse a demonstration whose declared number of samples differs from the number of its actions."""
    claimed, actions = demo.attrs.get("num_samples"), demo.get("actions")
    if not isinstance(claimed, int | np.integer) or not isinstance(actions, h5py.Dataset) or not actions.ndim:
        return
    if int(claimed) != actions.shape[0]:
        raise RefusedError(
            Defect.INDEX,
            f"'num_samples' says {claimed}, and 'actions' holds {actions.shape[0]}; "
            "it was cut off or changed afterwards",
        )


def _claims(file: h5py.File) -> Iterator[str]:
    """Episodes that the file's own lists name or count but that it does not contain."""
    data = hdf5.group(file, "data")
    here = {name for name in data if re.fullmatch(r"demo_\d+", name)}
    masks = file.get("mask")
    for name, listed in masks.items() if isinstance(masks, h5py.Group) else ():
        if isinstance(listed, h5py.Dataset) and listed.ndim == 1 and listed.dtype.kind in "SO":
            entries = {bytes(e).decode("utf-8", "replace") for e in listed[()] if isinstance(e, bytes)}
            missing = sorted(entry for entry in entries - here if entry)
            if missing:
                text = f"its list 'mask/{name}' names {counted(len(missing), 'demonstration')}"
                yield f"{text} that are not in it: {', '.join(missing[:_MOST_NAMED])}"
    total = data.attrs.get("total")
    counts = [
        group.attrs.get("num_samples")
        for name in sorted(here)
        if isinstance(group := data.get(name), h5py.Group)
    ]
    if isinstance(total, int | np.integer) and all(isinstance(count, int | np.integer) for count in counts):
        held = sum(int(count) for count in counts if count is not None)
        if counts and int(total) > held:
            yield f"it says that it holds {total} samples in all, and its demonstrations have {held}; some are missing"


_MOST_NAMED = 10


def _members(group: h5py.Group, *, nested: bool) -> Iterator[tuple[str, Any]]:
    """Members of a group; with `nested` also those in observation groups, which newer recorders write."""
    for name, member in group.items():
        if nested and isinstance(member, h5py.Group):
            yield from ((f"{name}/{inner}", one) for inner, one in _members(member, nested=nested))
        else:
            yield name, member


def _states(demo: h5py.Group) -> dict[str, Array]:
    return {name: hdf5.numbers(m, name) for name, m in demo.items() if hdf5.is_numeric(m)}


def _frames(demo: h5py.Group, own: OwnEpisode | None) -> dict[str, Frames]:
    observations = hdf5.group(demo, "obs")
    found: dict[str, Frames] = {
        name: if_there(partial(images.as_frames, member, f"obs/{name}"))
        for name, member in _members(observations, nested=own is None)
        if images.is_colour(member)
    }
    if own is None:
        return found
    following = hdf5.group(demo, "next_obs")
    return {
        name.removesuffix("_image"): JoinedFrames(
            frames, ArrayFrames(np.asarray(hdf5.dataset(following, name)[-1:], np.uint8))
        )
        for name, frames in found.items()
    }


def _own(demo: h5py.Group, facts: dict[str, Any]) -> OwnEpisode | None:
    kwargs = facts.get("env_kwargs")
    spec = spec_from(kwargs.get("spec") if isinstance(kwargs, dict) else None)
    if spec is None or "station" not in demo:
        return None

    def column(name: str) -> Array:
        return hdf5.numbers(hdf5.dataset(demo, name), name)

    rest = column("next_obs/proprioception")[-1:]
    return OwnEpisode(
        spec=spec,
        proprioception=np.concatenate([column("obs/proprioception"), rest]),
        observation_time=column("station/observation_time")[:, 0],
        action=column("actions"),
        sent=column("station/sent"),
        command_time=column("station/command_time")[:, 0],
        outcome=outcome_named(demo.attrs.get("outcome")),
    )


def _success(file: h5py.File, demo: h5py.Group, name: str) -> bool | None:
    """From the demonstration's success flag (Isaac Lab), a positive reward, or the file's own list of successes."""
    marked = hdf5.verdict(demo)
    if marked is not None:
        return marked
    rewards = demo.get("rewards")
    if hdf5.is_numeric(rewards) and (hdf5.numbers(rewards, "rewards") > 0).any():
        return True
    listed = file.get("mask/success")
    if not isinstance(listed, h5py.Dataset) or listed.ndim != 1:
        return None
    return name.encode() in {bytes(entry) for entry in listed[()]}


def _arm(raw: RawEpisode, prefix: str, simulated: bool) -> Arm:
    def found(name: str) -> str | None:
        return f"obs/{prefix}{name}" if f"obs/{prefix}{name}" in raw.columns else None

    gripper = found("gripper_qpos")
    robots = raw.facts.get("env_kwargs", {}).get("robots") if simulated else None
    panda = robots in (["Panda"], "Panda", ["Panda", "Panda"])
    observed = Track(
        position=found("eef_pos"),
        rotation=found("eef_quat"),
        representation=Representation.QUATERNION if found("eef_quat") else None,
        joints=found("joint_pos"),
        gripper=f"{gripper}[0:1]" if gripper else None,
        closed=0.0 if gripper and panda else None,
        open=_PANDA_FINGER if gripper and panda else None,
    )
    if raw.columns.get("actions", np.zeros((0, 0))).shape[1] != _ACTION_SIZE or not simulated:
        return Arm(observed=observed)
    commanded = Track(
        position="actions[0:3]",
        rotation="actions[3:6]",
        representation=Representation.ROTATION_VECTOR,
        gripper="actions[6:7]",
        closed=1.0,
        open=-1.0,
    )
    return Arm(observed=observed, commanded=commanded)


_ACTION_SIZE = 7


def _controls(facts: dict[str, Any]) -> dict[str, Any]:
    """The control rate and kind of actions, as far as the simulator's settings determine them."""
    kwargs = facts.get("env_kwargs")
    kwargs = kwargs if isinstance(kwargs, dict) else {}
    rate = kwargs.get("control_freq")
    known: dict[str, Any] = (
        {"rate": float(rate)} if isinstance(rate, int | float) and 0 < rate <= _FASTEST else {}
    )
    controller = _controller(kwargs.get("controller_configs"))
    delta = controller.get(
        "control_delta", {"delta": True, "absolute": False}.get(str(controller.get("input_type")))
    )
    if facts.get("type") != _ROBOSUITE or delta is None or controller.get("type") != "OSC_POSE":
        return {**known, "actions": None}
    if not delta:
        return {**known, "actions": ActionKind.COMMANDED}
    largest = controller.get("output_max")
    if not isinstance(largest, list) or len(largest) != _ACTION_SIZE - 1:
        return {**known, "actions": ActionKind.INCREMENTS, "increment_frame": "base"}
    return {
        **known,
        "actions": ActionKind.INCREMENTS,
        "increment_frame": "base",
        "increment_position": float(largest[0]),
        "increment_rotation": float(largest[3]),
    }


_FASTEST = 1000


def _controller(configs: Any) -> dict[str, Any]:
    """One arm's controller settings; newer robosuite versions nest them below body parts."""
    if isinstance(configs, dict) and isinstance(configs.get("body_parts"), dict):
        configs = configs["body_parts"].get("right", {})
    return configs if isinstance(configs, dict) else {}
