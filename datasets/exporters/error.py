"""Errors of the exporters."""

from __future__ import annotations

from datasets.errors import ExitCode, StationError


class ExportError(StationError):
    """Nothing was exported; the message says why and what to do."""


class UnknownExportFormatError(ExportError):
    """No format has that name; the message suggests the closest."""

    exit_code = ExitCode.USAGE
