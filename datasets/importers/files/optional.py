"""Packages that only some formats need; a missing one is a sentence with the line that brings it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from datasets.importers.defects import Defect, RefusedError


@contextmanager
def needed(extra: str) -> Iterator[None]:
    """Around imports of packages that come with an extra.

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
