"""Packages that only some formats need; if one is missing, the error gives the install command."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from datasets.importers.defects import Defect, RefusedError


@contextmanager
def needed(extra: str) -> Iterator[None]:
    """Context manager around imports of packages from an optional extra.

    Raises:
        RefusedError: one is missing; says how to install it.
    """
    try:
        yield
    except ImportError as error:
        package = (error.name or "a package").partition(".")[0]
        raise RefusedError(
            Defect.UNREADABLE, f"this format needs {package}: pip install 'station[{extra}]'"
        ) from error
