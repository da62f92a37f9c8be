"""The import of one episode, from file to `Episode`: open, map, check, trim, convert. Writes nothing.

What was found out before a refusal stays in `facts`, so reports can give more than the reason.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import cv2
import numpy as np

from datasets.episode import Ending, Episode, EpisodeHeader, EpisodeKind, Outcome
from datasets.importers import fingerprints
from datasets.importers.convert import conversion
from datasets.importers.convert.checks import usable
from datasets.importers.convert.timeline import Timeline, timeline
from datasets.importers.defects import Defect, Note, Question, RefusedError
from datasets.importers.enter.reimport import as_recording
from datasets.importers.findings import Answers, Outline
from datasets.importers.interface import Format, OwnEpisode, RawEpisode, Source
from datasets.importers.map.assembly import assemble
from datasets.importers.map.doubts import asked
from datasets.importers.map.proposals import is_depth_name, matched_cameras
from datasets.importers.mapping import Mapping, MappingError, entry_names
from datasets.importers.recording import Recording
from datasets.observation import Image
from datasets.plain_text import from_json
from datasets.spec import DataSpec

SHORTEST = 5
"""Minimum control steps of motion; shorter recordings are refused."""
THUMBNAIL = 64
"""Longest side of a thumbnail, pixels."""
_LONGEST_ATTRIBUTES = 2**20


@dataclass
class EpisodeImport:
    """The import of one episode; `run` fills `facts` and `outline` as far as it gets."""

    source: Source
    format: Format
    spec: DataSpec
    fingerprint: str
    ordinal: int
    beat: conversion.Beat
    facts: dict[str, Any] = field(default_factory=dict)
    """Fields of a `Finding`."""
    outline: Outline | None = None
    _provenance: dict[str, Any] = field(default_factory=dict)

    def run(self, answers: Answers, outlined: set[str]) -> Episode:
        """The finished episode; the structure of its source is added to `outlined`.

        Raises:
            RecordingError: it cannot be used.
        """
        with self.format.open(self.source.path, self.source.key) as raw:
            # an unlabelled episode of our own is pending, regardless of its rewards
            outcome = raw.own.outcome if raw.own is not None else _outcome(raw.success)
            self.facts.update(outcome=outcome, style=str(raw.attributes.get("style", ""))[:200])
            self.beat()
            if raw.own is not None and raw.own.spec == self.spec:
                return self._restored(raw.own, raw)
            recording = self._recording(raw, answers, outlined)
            return self._converted(recording, raw)

    def _restored(self, own: OwnEpisode, raw: RawEpisode) -> Episode:
        steps = len(own.action)
        episode = conversion.restore(own, raw.frames, self._header(raw), self.beat)
        self.facts.update(ticks=steps + 1, steps=steps, rate=self.spec.control_hz, cameras=_sizes(raw))
        return episode

    def _recording(self, raw: RawEpisode, answers: Answers, outlined: set[str]) -> Recording:
        if raw.own is not None:
            self.facts["cameras"] = _sizes(raw)
            return as_recording(raw.own, raw)
        structure = structure_of(self.format.name, raw)
        told = {**raw.facts.get("map", {}), **answers.get(structure, {}), **answers.get("", {})}
        proposal = self._proposal(raw)
        mapping = _answered(proposal, told)
        if structure not in outlined:
            outlined.add(structure)
            about = _Asked(raw, proposal, told, self.spec)
            self.outline = _outline(structure, self.format.name, raw, mapping, about)
        recording, notes = assemble(raw, mapping, self.spec, entry_names(told))
        self.facts["cameras"] = {name: (f.height, f.width) for name, f in recording.frames.items()}
        self._note(notes)
        self._provenance["mapping"] = mapping.entries()
        return recording

    def _proposal(self, raw: RawEpisode) -> Mapping:
        """The mapping proposed by the format and by camera names."""
        proposal = self.format.propose(raw, self.spec)
        matches = matched_cameras(
            [camera.name for camera in self.spec.cameras],
            [name for name in raw.frames if name not in raw.depth and not is_depth_name(name)],
        )
        return proposal.model_copy(update={"cameras": {**matches, **proposal.cameras}})

    def _converted(self, recording: Recording, raw: RawEpisode) -> Episode:
        self.facts.update(ticks=len(recording.following), rate=_rate(recording))
        recording, notes = usable(recording, self.spec)
        self._note(notes)
        line = timeline(recording, self.spec.control_hz, SHORTEST)
        self._note([*line.notes, *conversion.resizes(recording.frames, self.spec)])
        self.facts.update(ticks=recording.ticks, idle=line.idle, clutch_off=line.clutch_off, steps=line.steps)
        self._provenance.update(_cuts(recording, line))
        episode, notes_of_images = conversion.convert(
            recording, line, self.spec, self._header(raw), self.beat
        )
        self._note(notes_of_images)
        # what was learned from the images belongs to the provenance as well
        notes = [note.text for note in self.facts.get("defects", ())]
        source = {**episode.header.source, "notes": notes}
        return replace(episode, header=replace(episode.header, source=source))

    def _note(self, notes: list[Note] | tuple[Note, ...]) -> None:
        self.facts["defects"] = (*self.facts.get("defects", ()), *notes)

    def _header(self, raw: RawEpisode) -> EpisodeHeader:
        attributes = plain(raw.attributes)
        layout = attributes.get("layout")
        return EpisodeHeader(
            id=fingerprints.episode_id(self.fingerprint),
            kind=EpisodeKind.DEMO,
            ordinal=self.ordinal,
            spec=self.spec,
            ending=Ending.RECORDED,
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            layout=layout if isinstance(layout, dict) else {},
            method=str(attributes.get("style", ""))[:200],
            source={
                "format": self.format.name,
                "file": self.source.path.name,
                "key": self.source.key,
                "fingerprint": self.fingerprint,
                "attributes": attributes,
                **self._provenance,
            },
        )


def _outcome(success: bool | None) -> Outcome | None:
    if success is None:
        return None
    return Outcome.SUCCESS if success else Outcome.FAILURE


def structure_of(format_name: str, raw: RawEpisode) -> str:
    """Eight digits shared by sources with the same columns and cameras.

    Excludes images that must be converted to RGB: earlier versions did not count them as cameras, and their answers
    still apply.
    """
    parts = [format_name, *(f"{name}:{values.shape[1]}" for name, values in sorted(raw.columns.items()))]
    cameras = [
        name
        for name, frames in raw.frames.items()
        if not any(note.defect is Defect.IMAGE_FORMAT for note in frames.notes)
    ]
    return hashlib.sha256("/".join([*parts, *sorted(cameras)]).encode()).hexdigest()[:8]


def plain(attributes: dict[str, Any]) -> dict[str, Any]:
    """Attributes as strictly valid JSON: no NaN, no lone surrogates, at most a megabyte."""
    try:
        text = json.dumps(attributes, allow_nan=False, default=str)
    except (ValueError, RecursionError) as error:
        raise RefusedError(
            Defect.UNREADABLE, f"its attributes hold more than plain finite JSON ({error})"
        ) from error
    if len(text) > _LONGEST_ATTRIBUTES:
        raise RefusedError(Defect.TOO_BIG, f"its attributes take {len(text)} characters")
    whole = json.dumps(from_json(text), ensure_ascii=False).encode("utf-8", "replace").decode("utf-8")
    result: dict[str, Any] = from_json(whole)
    return result


def _answered(proposal: Mapping, told: dict[str, str]) -> Mapping:
    try:
        return proposal.with_answers(told).as_answered()
    except MappingError as error:
        raise RefusedError(Defect.UNANSWERED, f"the mapping does not work: {error}") from error


@dataclass(frozen=True)
class _Asked:
    """Questions about one source structure, and the answers."""

    raw: RawEpisode
    proposal: Mapping
    told: dict[str, str]
    spec: DataSpec

    def open(self, told: dict[str, str]) -> tuple[Question, ...]:
        """Questions still open with these answers."""
        try:
            mapping = _answered(self.proposal, told)
            return tuple(asked(self.raw, mapping, self.spec, entry_names(told)))
        except RefusedError:
            return ()

    def settled(self) -> dict[Question, str]:
        """Each question that would reopen without one of the answers, with that answer."""
        stand = {question.name for question in self.open(self.told)}
        found: dict[Question, str] = {}
        for name, value in self.told.items():
            others = {other: text for other, text in self.told.items() if other != name}
            for question in self.open(others):
                if question.name not in stand:
                    found[question] = f"{found[question]},{value}" if question in found else value
        return found


def _outline(structure: str, format_name: str, raw: RawEpisode, mapping: Mapping, asked: _Asked) -> Outline:
    return Outline(
        structure=structure,
        format=format_name,
        entries=mapping.entries(),
        answered=tuple(asked.told),
        open=asked.open(asked.told),
        settled=asked.settled(),
        columns={name: values.shape[1] for name, values in raw.columns.items()},
        cameras=_sizes(raw),
        depth=raw.depth,
        unlabelled=raw.success is None,
        images={name: _thumbnail(raw, name) for name in list(raw.frames)[:_MOST_PREVIEWS]},
    )


_MOST_PREVIEWS = 6


def _thumbnail(raw: RawEpisode, camera: str) -> Image:
    """A thumbnail of the first image; black if unreadable, which the import itself reports."""
    try:
        image = next(iter(raw.frames[camera].pick(np.zeros(1, np.int64))))
    except (RefusedError, StopIteration):
        image = np.zeros((1, 1, 3), np.uint8)
    scale = THUMBNAIL / max(image.shape[:2])
    size = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)


def _sizes(raw: RawEpisode) -> dict[str, tuple[int, int]]:
    return {name: (frames.height, frames.width) for name, frames in raw.frames.items()}


def _rate(recording: Recording) -> float:
    time = recording.observation_time
    seconds = float(time[-1] - time[0]) if len(time) > 1 else 0.0
    return (len(time) - 1) / seconds if seconds > 0 else 0.0


def _cuts(recording: Recording, line: Timeline) -> dict[str, Any]:
    return {
        "ticks": recording.ticks,
        "kept": line.ranges,
        "idle": line.idle,
        "clutch_off": line.clutch_off,
    }
