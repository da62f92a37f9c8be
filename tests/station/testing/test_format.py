"""The check of a format to read passes all of ours, and names the rule that another one breaks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import h5py
import numpy as np
import pytest

from datasets import vr_recording
from datasets.importers.files.description import NAME
from datasets.importers.interface import Format, RawEpisode
from datasets.importers.mapping import Arm, Mapping, Representation, Track
from datasets.importers.read.registry import all_formats
from datasets.importers.recording import ArrayFrames, Frames
from datasets.spec import DataSpec
from datasets.store import EpisodeStore
from station.session.folder import SessionFolder
from station.testing import check_format
from tests.datasets.importers import sources
from tests.datasets.importers.formats import test_described as described
from tests.datasets.importers.formats.test_vr import make_recording
from tests.datasets.importers.sources import ANSWERS, MAKERS, POSE_SPEC, SPECS, TICKS

COUNTS = {"aloha": 1, "aloha-jpeg": 1, "droid": 1}


@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=pytest.mark.slow) if "-" in kind else kind for kind in MAKERS]
)
def test_every_foreign_format_keeps_the_contract(tmp_path: Path, kind: str) -> None:
    name, make = MAKERS[kind]
    make(tmp_path)
    sample = next(tmp_path.rglob("trajectory.h5")).parent if name == "droid" else next(tmp_path.iterdir())
    check_format(
        type(all_formats()[name]),
        sample,
        episodes=COUNTS.get(kind, 2),
        spec=SPECS[name],
        answers=ANSWERS[name],
    )


@pytest.mark.parametrize("layout", described.LAYOUTS)
def test_files_with_a_description_keep_the_contract(tmp_path: Path, layout: str) -> None:
    make, said = described.LAYOUTS[layout]
    make(tmp_path)
    (tmp_path / NAME).write_text(described.description(said))
    check_format(type(all_formats()["described"]), tmp_path, episodes=2, spec=POSE_SPEC)


def test_the_stations_own_episodes_keep_the_contract(session: SessionFolder) -> None:
    """A session's demonstrations, labelled in its journal: as they are, and for a task of another rate."""
    spec, demos = session.task.cell.spec, session.path / "demos"
    for wanted in (spec, replace(spec, control_hz=spec.control_hz / 2)):
        check_format(type(all_formats()["zarr"]), demos, episodes=len(EpisodeStore(demos).ids()), spec=wanted)


def test_vr_recordings_keep_the_contract(tmp_path: Path, spec: DataSpec) -> None:
    vr_recording.write(tmp_path / "demo.h5", make_recording(spec))
    check_format(type(all_formats()["vr"]), tmp_path / "demo.h5", episodes=1, spec=spec)


class Tape(Format):
    """Two episodes per HDF5 file, marked by an attribute: poses, an opening, images, stamps."""

    name: ClassVar[str] = "tape"
    description: ClassVar[str] = "tapes of a test, HDF5"
    suffixes: ClassVar[tuple[str, ...]] = (".tape",)

    def recognises(self, path: Path) -> bool:
        if not (path.is_file() and h5py.is_hdf5(path)):
            return False
        with h5py.File(path) as file:
            return bool(file.attrs.get("kind") == "tape")

    def keys(self, path: Path) -> Iterator[str]:
        with h5py.File(path) as file:
            names = sorted(file)
        yield from names

    @contextmanager
    def open(self, path: Path, key: str) -> Iterator[RawEpisode]:
        with h5py.File(path) as file:
            if key not in file:
                raise vr_recording.RecordingError(f"it has no episode '{key}'")
            tape = file[key]
            yield RawEpisode(
                columns={name: tape[name][()] for name in ("pose", "opening")},
                frames={"front": ArrayFrames(tape["front"])},
                time=tape["time"][()],
                success=bool(tape.attrs["success"]),
            )

    def propose(self, raw: RawEpisode, spec: DataSpec) -> Mapping:
        track = Track(
            position="pose[0:3]", rotation="pose[3:7]", representation=Representation.QUATERNION,
            gripper="opening", closed=0.0, open=1.0,
        )  # fmt: skip
        return Mapping(
            arms=(Arm(observed=track, commanded=track),),
            colour="rgb",
            quaternion="xyzw",
            angle="rad",
            length="m",
        )

    def fingerprint(self, path: Path, key: str) -> str:
        return super().fingerprint(path, key)


@pytest.fixture
def tape(tmp_path: Path) -> Path:
    path = tmp_path / "two.tape"
    with h5py.File(path, "w") as file:
        file.attrs["kind"] = "tape"
        for number in range(2):
            one = file.create_group(f"take_{number}")
            one["pose"] = sources.poses(sources.T + number)
            one["opening"] = sources.opening(sources.T)[:, None]
            one["front"] = sources.images()
            one["time"] = sources.T / sources.HZ
            one.attrs["success"] = True
    return path


def altered(change: Callable[[RawEpisode], Any]) -> Any:
    @contextmanager
    def opened(self: Tape, path: Path, key: str) -> Iterator[RawEpisode]:
        with Tape.open(self, path, key) as raw:
            yield change(raw)

    return opened


def with_any(raw: RawEpisode, **changes: Any) -> RawEpisode:
    return replace(raw, **changes)


class Mislabelled(Frames):
    count, height, width = TICKS, 3 * sources.HEIGHT, sources.WIDTH

    def pick(self, indices: Any) -> Iterator[Any]:
        for index in indices.tolist():
            yield sources.image(index)


LEFT_OPEN: list[h5py.File] = []


@contextmanager
def never_closing(self: Tape, path: Path, key: str) -> Iterator[RawEpisode]:
    LEFT_OPEN.append(h5py.File(path))
    with Tape.open(self, path, key) as raw:
        yield raw


@contextmanager
def writing(self: Tape, path: Path, key: str) -> Iterator[RawEpisode]:
    path.with_name(f"{path.name}.index").touch() if path.is_dir() else path.touch()
    with Tape.open(self, path, key) as raw:
        yield raw


@contextmanager
def without_a_word(self: Tape, path: Path, key: str) -> Iterator[RawEpisode]:
    with h5py.File(path) as file:
        file[key]
    with Tape.open(self, path, key) as raw:
        yield raw


def greedy(self: Tape, path: Path) -> bool:
    return path.suffix == ".tape"


def thorough(self: Tape, path: Path) -> bool:
    return (path.is_file() and path.read_bytes()[-4:] == b"tape") or Tape.recognises(self, path)


def clumsy(self: Tape, path: Path) -> bool:
    with h5py.File(path) as file:
        return bool(file.attrs["kind"] == "tape")


def by_name(self: Tape, path: Path, key: str) -> str:
    return f"{abs(hash((path, key))) % 16**16:016x}"


BROKEN: dict[str, tuple[dict[str, Any], str]] = {
    "a name with a blank": ({"name": "my tape"}, "lower-case letters"),
    "another's name": ({"name": "aloha"}, "another format's already"),
    "no description": ({"description": ""}, "no description"),
    "a suffix without its dot": ({"suffixes": ("tape",)}, "begins with a dot"),
    "a claim by the suffix": ({"recognises": greedy}, r"claims empty\.tape"),
    "a foreign file read whole": ({"recognises": thorough}, r"read \d+ MB of large"),
    "an error for a foreign file": ({"recognises": clumsy}, "a foreign file, raises KeyError"),
    "no answer to its own": ({"recognises": lambda *_: False}, "does not recognise its sample"),
    "half its episodes": ({"keys": lambda *_: iter(["take_0"])}, "which has 2"),
    "one key twice": ({"keys": lambda *_: iter(["take_0", "take_0"])}, "which has 2"),
    "words for a stranger": ({"instructions": lambda *_: {"take_9": "Pour"}}, "instructions for"),
    "single precision": (
        {"open": altered(lambda raw: replace(raw, columns={"pose": raw.columns["pose"].astype(np.float32)}))},
        "'pose' is float32",
    ),
    "names that do not fit": (
        {"open": altered(lambda raw: replace(raw, names={"pose": ("x", "y")}))},
        "7 numbers and 2 names",
    ),
    "whole seconds": (
        {"open": altered(lambda raw: with_any(raw, time=np.arange(TICKS)))}, "'time' are not float64"
    ),
    "a number for a success": ({"open": altered(lambda raw: with_any(raw, success=1))}, "success is no bool"),
    "images of another size": (
        {"open": altered(lambda raw: replace(raw, frames={"front": Mislabelled()}))}, "'front' says 60 images"
    ),
    "a file left open": ({"open": never_closing}, "stay open"),
    "a file touched": ({"open": writing}, "a format only reads"),
    "no mapping": ({"propose": lambda *_: {}}, "propose gives a dict"),
    "a question that nobody answered": (
        {"propose": lambda *_: Mapping(arms=(Arm(),))}, "cannot be imported"
    ),
    "one fingerprint for all": ({"fingerprint": lambda *_: "0" * 16}, "two episodes have one fingerprint"),
    "a fingerprint of another length": ({"fingerprint": lambda _, __, key: key}, "sixteen hexadecimal"),
    "a fingerprint of the name": ({"fingerprint": by_name}, "under another name"),
    "an error without a sentence": ({"open": without_a_word}, "raises KeyError .* instead of RecordingError"),
}  # fmt: skip


def test_a_format_that_keeps_the_contract_passes(tape: Path) -> None:
    check_format(Tape, tape, episodes=2, spec=POSE_SPEC)


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_rule_is_named(tape: Path, name: str) -> None:
    methods, words = BROKEN[name]
    with pytest.raises(AssertionError, match=words) as caught:
        check_format(type("Broken", (Tape,), methods), tape, episodes=2, spec=POSE_SPEC)
    assert "datasets.importers.interface.Format" in str(caught.value)
    while LEFT_OPEN:
        LEFT_OPEN.pop().close()
