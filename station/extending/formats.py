"""Public names for formats to read and to write. Loads neither torch nor device code."""

from __future__ import annotations

from datasets.episode import Episode, EpisodeHeader, EpisodeKind, Outcome
from datasets.exporters.error import ExportError
from datasets.exporters.interface import Exporter, ExportReport
from datasets.exporters.source import Entry, ExportSource
from datasets.exporters.staging import Workplace, whole
from datasets.importers.defects import Defect, Note, RefusedError, Treatment, repaired, warning
from datasets.importers.interface import (
    Format,
    OwnEpisode,
    RawEpisode,
    Source,
    Unstored,
    require_image,
    require_size,
)
from datasets.importers.mapping import ActionKind, Mapping, Representation, Track
from datasets.importers.mapping import Arm as ArmColumns
from datasets.importers.recording import ArrayFrames, EncodedFrames, Frames
from datasets.spec import ActionSpec, CameraSpec, DataSpec, Rotation
from datasets.vr_recording import RecordingError

__all__ = [
    "ActionKind",
    "ActionSpec",
    "ArmColumns",
    "ArrayFrames",
    "CameraSpec",
    "DataSpec",
    "Defect",
    "EncodedFrames",
    "Entry",
    "Episode",
    "EpisodeHeader",
    "EpisodeKind",
    "ExportError",
    "ExportReport",
    "ExportSource",
    "Exporter",
    "Format",
    "Frames",
    "Mapping",
    "Note",
    "Outcome",
    "OwnEpisode",
    "RawEpisode",
    "RecordingError",
    "RefusedError",
    "Representation",
    "Rotation",
    "Source",
    "Track",
    "Treatment",
    "Unstored",
    "Workplace",
    "repaired",
    "require_image",
    "require_size",
    "warning",
    "whole",
]
