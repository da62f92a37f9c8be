"""VR recordings become demonstrations: looked at, refused one by one with a reason, or converted and committed.

A file is known by a fingerprint of its content, so importing a folder twice, or again after an interruption, adds
nothing twice. For each file the order is: commit the episode, its journal line, its label, and last the line that says
the file is done; whatever was missing when a crash came is made up for on the next run.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from datasets.episode import Ending, Episode, EpisodeHeader, EpisodeKind, Outcome
from datasets.importers.checks import usable
from datasets.importers.timeline import Timeline, nearest, numbers_at, poses_at, tick, timeline
from datasets.journal import IMPORT, Journal, Ledger, header_fields
from datasets.observation import FloatArray, Image
from datasets.rotation import pose_to_action
from datasets.spec import CameraSpec, DataSpec
from datasets.store import EpisodeStore
from datasets.vr_recording import RecordingError, VrRecording, read

SUFFIXES = (".h5", ".hdf5")
SHORTEST = 5
"""Control steps of motion below which a recording is refused."""
BY = "recorder"
"""Who gave the label, in the journal."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What a look at one file found; nothing was written."""

    path: Path
    fingerprint: str
    """First 16 hexadecimal digits of the content's SHA-256; empty when the file could not be read."""
    refused: str | None = None
    """Why it cannot be used, None when it can."""
    ticks: int = 0
    """Recorded samples."""
    rate: float = 0.0
    """Recorded samples per second."""
    idle: int = 0
    """Ticks of idle start that are trimmed."""
    clutch_off: int = 0
    """Ticks that are dropped because the clutch was open."""
    steps: int = 0
    """Control steps that the episode will have."""
    success: bool | None = None
    cameras: dict[str, tuple[int, int]] = field(default_factory=dict)
    """name -> recorded (height, width)"""
    style: str = ""
    notes: tuple[str, ...] = ()
    """What is mended or changed on the way, one sentence each."""

    @property
    def kept(self) -> int:
        """Ticks that are used."""
        return self.ticks - self.dropped

    @property
    def dropped(self) -> int:
        """Ticks that are not used."""
        return self.idle + self.clutch_off


@dataclass(frozen=True, kw_only=True)
class ImportResult:
    """What became of one file."""

    finding: Finding
    episode: str | None = None
    """The demonstration's id, None when refused."""
    duplicate: bool = False
    """Its content had been imported before; nothing was added."""

    @property
    def refused(self) -> str | None:
        """Why it was refused."""
        return self.finding.refused


def files(paths: Iterable[Path]) -> list[Path]:
    """The recordings named by `paths`; a folder stands for the HDF5 files in it, by name."""
    found: list[Path] = []
    for path in paths:
        inside = (
            sorted(entry for entry in path.iterdir() if _is_recording(entry)) if path.is_dir() else [path]
        )
        found.extend(inside)
    return found


def inspect(path: Path, spec: DataSpec) -> Finding:
    """Look at one file and say what an import would do with it."""
    return _look(path, spec)[0]


def run(
    paths: Iterable[Path], spec: DataSpec, store: EpisodeStore, journal: Journal
) -> Iterator[ImportResult]:
    """Import file after file; may be abandoned between any two.

    Raises:
        DiskFullError: there is no room; what was yielded is safe, run it again later.
    """
    for path in files(paths):
        known = _imported(path, store, journal.ledger())
        if known is not None:
            yield known
            continue
        finding, recording, line = _look(path, spec)
        if recording is None or line is None:
            _journal_refusal(finding, journal)
            yield ImportResult(finding=finding)
            continue
        yield ImportResult(finding=finding, episode=_take_in(finding, recording, line, spec, store, journal))


def convert(recording: VrRecording, line: Timeline, spec: DataSpec, header: EpisodeHeader) -> Episode:
    """The episode of a recording along a timeline: T+1 observations, T actions.

    Action t is the pose that was commanded for the instant of observation t+1.
    """
    kept, time = line.kept, line.step_time
    due = line.close(recording.action_time[kept]) + tick(recording.action_time)
    pose = poses_at(recording.action_pose[kept], due, time[1:])
    gripper = np.interp(time[1:], due, recording.action_gripper[kept])
    action = pose_to_action(pose[:, :3], pose[:, 3:], gripper, spec.action)
    return Episode(
        header=header,
        images={camera.name: _pictures(recording, line, time, camera) for camera in spec.cameras},
        proprioception=_proprioception(recording, line, time, spec),
        observation_time=line.recorded[0] + time,
        action=action,
        sent=action,
        command_time=line.recorded[0] + time[:-1],
    )


def _is_recording(path: Path) -> bool:
    return path.suffix in SUFFIXES and not path.name.startswith(".")


def _fingerprint(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]


def _look(path: Path, spec: DataSpec) -> tuple[Finding, VrRecording | None, Timeline | None]:
    """The finding, and what a conversion needs unless the file is refused."""
    fingerprint = ""
    facts: dict[str, Any] = {}
    try:
        fingerprint = _fingerprint(path)
        recording = read(path)
        facts = _facts(recording)
        recording, notes = usable(recording, spec)
        line = timeline(recording, spec.control_hz, SHORTEST)
    except OSError as error:
        return Finding(path=path, fingerprint=fingerprint, refused=f"unreadable ({error})"), None, None
    except RecordingError as error:
        return Finding(path=path, fingerprint=fingerprint, refused=str(error), **facts), None, None
    finding = Finding(
        path=path,
        fingerprint=fingerprint,
        idle=line.idle,
        clutch_off=line.clutch_off,
        steps=line.steps,
        notes=(*notes, *line.notes, *_resizes(recording, spec)),
        **{**facts, "ticks": len(recording.clutch)},
    )
    return finding, recording, line


def _facts(recording: VrRecording) -> dict[str, Any]:
    time = recording.observation_time
    seconds = float(time[-1] - time[0]) if len(time) > 1 else 0.0
    return {
        "ticks": len(recording.clutch),
        "rate": (len(time) - 1) / seconds if seconds > 0 else 0.0,
        "success": recording.success,
        "cameras": {name: (frames.shape[1], frames.shape[2]) for name, frames in recording.images.items()},
        "style": str(recording.attributes.get("style", "")),
    }


def _resizes(recording: VrRecording, spec: DataSpec) -> Iterator[str]:
    for camera in spec.cameras:
        height, width = recording.images[camera.name].shape[1:3]
        if (height, width) != (camera.height, camera.width):
            yield f"resized '{camera.name}' from {width}x{height} to {camera.width}x{camera.height}"
            if height * camera.width != width * camera.height:
                yield f"'{camera.name}' changes its proportions: the recorder's picture is not cropped"


def _pictures(recording: VrRecording, line: Timeline, time: NDArray[np.float64], camera: CameraSpec) -> Image:
    """[T+1, height, width, 3]: of each instant the recorded picture nearest in time."""
    taken = line.close(recording.image_time[camera.name][line.kept])
    frames = recording.images[camera.name][line.kept[nearest(taken, time)]]
    if frames.shape[1:3] == (camera.height, camera.width):
        return frames
    size = (camera.width, camera.height)
    return np.stack([cv2.resize(frame, size, interpolation=cv2.INTER_AREA) for frame in frames]).astype(
        np.uint8
    )


def _proprioception(
    recording: VrRecording, line: Timeline, time: NDArray[np.float64], spec: DataSpec
) -> FloatArray:
    """[T+1, dq] in the order of the spec's names."""
    joints = iter(numbers_at(recording.joint_angles[line.kept], line.closed, time).T)
    gripper = np.interp(time, line.closed, recording.gripper[line.kept])
    columns = [gripper if name == "gripper" else next(joints) for name in spec.proprioception]
    return np.stack(columns, axis=1).astype(np.float32)


def _imported(path: Path, store: EpisodeStore, ledger: Ledger) -> ImportResult | None:
    """The result of an earlier import of the same content, None when there is none that still stands."""
    try:
        fingerprint = _fingerprint(path)
    except OSError:
        return None
    for line in ledger.lines.get(IMPORT, ()):
        episode = line.fields["episode"]
        if line.fields["fingerprint"] == fingerprint and episode is not None and episode in store:
            finding = Finding(path=path, fingerprint=fingerprint, steps=ledger.episodes[episode].steps)
            return ImportResult(finding=finding, episode=episode, duplicate=True)
    return None


def _journal_refusal(finding: Finding, journal: Journal) -> None:
    """One line per file and reason, however often the import is repeated."""
    fields = _import_fields(finding, None)
    told = (line.fields for line in journal.ledger().lines.get(IMPORT, ()))
    if fields not in told:
        journal.append(IMPORT, **fields)


def _take_in(
    finding: Finding,
    recording: VrRecording,
    line: Timeline,
    spec: DataSpec,
    store: EpisodeStore,
    journal: Journal,
) -> str:
    name = f"demo-{finding.fingerprint}"
    ledger = journal.ledger()
    if name not in store:
        header = _header(name, _ordinal(name, ledger), finding, recording, line, spec)
        store.commit(convert(recording, line, spec, header))
    if name not in ledger.episodes:
        steps, chunks = store.size(name)
        journal.append("episode", **header_fields(store.header(name), steps=steps, chunks=chunks))
    status = journal.ledger().episodes[name]
    if recording.success is not None and not status.by:
        outcome = Outcome.SUCCESS if recording.success else Outcome.FAILURE
        journal.append("label", episode=name, outcome=outcome.value, by=BY)
    journal.append(IMPORT, **_import_fields(finding, name))
    return name


def _import_fields(finding: Finding, episode: str | None) -> dict[str, Any]:
    return {
        "file": finding.path.name,
        "fingerprint": finding.fingerprint,
        "episode": episode,
        "refused": finding.refused,
        "kept": finding.kept if episode else 0,
        "dropped": finding.dropped if episode else finding.ticks,
    }


def _ordinal(name: str, ledger: Ledger) -> int:
    if name in ledger.episodes:
        return ledger.episodes[name].ordinal
    demos = (status.ordinal for status in ledger.episodes.values() if status.kind is EpisodeKind.DEMO)
    return 1 + max(demos, default=-1)


def _header(
    name: str, ordinal: int, finding: Finding, recording: VrRecording, line: Timeline, spec: DataSpec
) -> EpisodeHeader:
    layout = recording.attributes.get("layout")
    return EpisodeHeader(
        id=name,
        kind=EpisodeKind.DEMO,
        ordinal=ordinal,
        spec=spec,
        ending=Ending.RECORDED,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        layout=layout if isinstance(layout, dict) else {},
        method=finding.style,
        source={
            "format": "vr",
            "file": finding.path.name,
            "fingerprint": finding.fingerprint,
            "attributes": recording.attributes,
            "ticks": finding.ticks,
            "kept": line.ranges,
            "idle": line.idle,
            "clutch_off": line.clutch_off,
            "notes": list(finding.notes),
        },
    )
