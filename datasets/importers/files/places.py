"""Confinement of an import to the file or folder given by the user.

A link may point anywhere on the computer, and its target would become an episode that leaves with the next export.
Links are therefore followed only inside the given folder, each folder at most once, unless the user allows more.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from datasets.importers.defects import Defect, RefusedError

FOLLOW = "--follow-links"
"""Flag that a refusal tells the user to add."""


def inside(root: Path, *parts: str) -> Path:
    """Join a path given by a foreign file, confined to `root`.

    Raises:
        RefusedError: it leads outside `root`.
    """
    path = root.joinpath(*parts)
    if not Path(os.path.normpath(path)).is_relative_to(os.path.normpath(root)):
        raise RefusedError(Defect.OUTSIDE, f"it names the file '{'/'.join(parts)}', which is not inside it")
    return path


class Bounds:
    """Limits of one search, starting at a path given by the user."""

    def __init__(self, named: Path, *, follow: bool = False) -> None:
        """`follow`: follow every link."""
        self._roots = () if follow else _roots(named)
        self._entered: set[tuple[int, int]] = set()

    def first_time(self, path: Path) -> bool:
        """Whether this file or folder is seen for the first time, under any name."""
        try:
            known = path.stat()
        except OSError:
            return True
        mark = (known.st_dev, known.st_ino)
        is_new = mark not in self._entered
        self._entered.add(mark)
        return is_new

    def require(self, path: Path) -> None:
        """Refuse a file or folder that links outside.

        Raises:
            RefusedError: says where it leads and what to do.
        """
        target = self._elsewhere(path)
        if target is not None:
            raise RefusedError(
                Defect.OUTSIDE,
                f"a link that leads out of the named folder, to {target}; name that path itself, or say {FOLLOW}",
            )

    def require_all(self, folder: Path) -> None:
        """As `require`, for everything in a dataset's folder; and nothing in it may be a pipe, socket or device.

        Raises:
            RefusedError: names the first such link or file.
        """
        for link in _links_and_specials(folder):
            if is_special(link):
                raise RefusedError(Defect.UNREADABLE, f"its '{link.relative_to(folder)}' is {SPECIAL}")
            target = self._elsewhere(link)
            if target is not None:
                raise RefusedError(
                    Defect.OUTSIDE,
                    f"its '{link.relative_to(folder)}' is a link that leads out of the named folder, to {target}; "
                    f"name a folder that holds both, copy the data with `cp -rL`, or say {FOLLOW}",
                )

    def _elsewhere(self, path: Path) -> Path | None:
        """The real target of a path if it is outside; None otherwise, also for a broken link."""
        if not self._roots or not path.exists():
            return None
        target = Path(os.path.realpath(path))
        return None if any(target.is_relative_to(root) for root in self._roots) else target


def _roots(named: Path) -> tuple[Path, ...]:
    """The given path and, for a snapshot in a Hugging Face cache, the blob store that its links point into."""
    root = Path(os.path.realpath(named))
    stores = [
        above.parents[1] / "blobs"
        for above in (root, *root.parents)
        if above.parent.name == "snapshots" and (above.parents[1] / "blobs").is_dir()
    ]
    return (root, *stores)


SPECIAL = "a pipe, socket or device, neither file nor folder"


def is_special(path: Path) -> bool:
    """Whether it exists but is neither file nor folder; opening it might block forever."""
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError):
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def _links_and_specials(folder: Path) -> Iterator[Path]:
    """Every link and special file below a folder, including behind links to folders, each entered once."""
    entered: set[tuple[int, int]] = set()
    waiting = [folder]
    while waiting:
        here = waiting.pop()
        try:
            known = here.stat()
            entries = sorted(os.scandir(here), key=lambda entry: entry.name)
        except OSError:
            continue
        if (known.st_dev, known.st_ino) in entered:
            continue
        entered.add((known.st_dev, known.st_ino))
        for entry in entries:
            if not (entry.is_file(follow_symlinks=False) or entry.is_dir(follow_symlinks=False)):
                yield Path(entry.path)
            if entry.is_dir():
                waiting.append(Path(entry.path))
