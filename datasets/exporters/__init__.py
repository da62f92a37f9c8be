"""Exporters of a session's episodes to other projects' formats, behind one interface and one registry."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from datasets.exporters.diffusion_policy import DiffusionPolicyExporter
from datasets.exporters.error import UnknownExportFormatError
from datasets.exporters.interface import Exporter, ExportError
from datasets.exporters.lerobot import LeRobotExporter
from datasets.exporters.plain import PlainExporter
from datasets.exporters.robomimic import RobomimicExporter
from datasets.wording import did_you_mean

__all__ = ["EXPORTERS", "ExportError", "Exporter", "exporter"]

EXPORTERS: Mapping[str, type[Exporter]] = MappingProxyType(
    {
        exporter.name: exporter
        for exporter in (LeRobotExporter, RobomimicExporter, DiffusionPolicyExporter, PlainExporter)
    }
)
"""name -> exporter; a new format is one module and one entry."""


def exporter(name: str) -> Exporter:
    """The exporter of that name.

    Raises:
        UnknownExportFormatError: there is none; the message suggests the closest.
    """
    if name in EXPORTERS:
        return EXPORTERS[name]()
    hint = did_you_mean(name, EXPORTERS, f"Known formats: {', '.join(EXPORTERS)}.")
    raise UnknownExportFormatError(f"Unknown export format '{name}'.", remedy=hint)
