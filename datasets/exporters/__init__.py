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
from datasets.installed import EXPORTERS as INSTALLED
from datasets.installed import added
from datasets.wording import did_you_mean

__all__ = ["EXPORTERS", "ExportError", "Exporter", "exporter", "exporters"]

EXPORTERS: Mapping[str, type[Exporter]] = MappingProxyType(
    {
        exporter.name: exporter
        for exporter in (LeRobotExporter, RobomimicExporter, DiffusionPolicyExporter, PlainExporter)
    }
)
"""name -> the station's own exporter; a new format is one module and one entry."""


def exporters() -> dict[str, type[Exporter]]:
    """name -> exporter, those of installed packages included.

    Raises:
        PackageError: an installed package offers one that cannot be used.
    """
    own = dict(EXPORTERS)
    return own | added(INSTALLED, Exporter, own)  # type: ignore[type-abstract]  # a base to compare with


def exporter(name: str) -> Exporter:
    """The exporter of that name.

    Raises:
        UnknownExportFormatError: there is none; the message suggests the closest. PackageError: as `exporters`.
    """
    if name in EXPORTERS:
        return EXPORTERS[name]()
    known = exporters()
    if name in known:
        return known[name]()
    hint = did_you_mean(name, known, f"Known formats: {', '.join(known)}.")
    raise UnknownExportFormatError(f"Unknown export format '{name}'.", remedy=hint)
