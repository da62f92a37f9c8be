"""The errors of this room."""

from __future__ import annotations

from datasets.errors import ExitCode, StationError


class ExportError(StationError):
    """Nothing was exported; the message says why and what to do."""


class UnknownExportFormatError(ExportError):
    """No format has that name; the message names the nearest."""

    exit_code = ExitCode.USAGE
