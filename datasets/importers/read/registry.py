"""Registry of formats, and search for episodes in files and folders.

A format is any subclass of `Format` in a module of `datasets.importers.formats`, or one that an installed package adds
(`datasets.installed`); there is no other list.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from datasets.errors import ExitCode, StationError
from datasets.importers import formats
from datasets.importers.defects import Defect, RefusedError, why
from datasets.importers.files.places import SPECIAL, Bounds, is_special
from datasets.importers.files.pointers import missing_content
from datasets.importers.formats.described import DescribedFormat
from datasets.importers.interface import Format
from datasets.importers.read import unknown
from datasets.installed import FORMATS, added
from datasets.vr_recording import RecordingError
from datasets.wording import did_you_mean


class UnknownFormatError(StationError):
    """No format has that name; suggests the closest."""

    exit_code = ExitCode.USAGE


@dataclass(frozen=True, kw_only=True)
class Found:
    """A file or folder that holds episodes, or that should but does not."""

    path: Path
    format: str | None
    refused: RecordingError | None = None


@cache
def all_formats() -> dict[str, Format]:
    """name -> format, sorted by name; the station's own before those of installed packages.

    Raises:
        PackageError: an installed package offers a format that cannot be used.
    """
    found: dict[str, type[Format]] = {}
    for module in pkgutil.iter_modules(formats.__path__):
        for kind in vars(importlib.import_module(f"{formats.__name__}.{module.name}")).values():
            if isinstance(kind, type) and issubclass(kind, Format) and "name" in vars(kind):
                found[kind.name] = kind
    others = added(FORMATS, Format, found)  # type: ignore[type-abstract]  # a base to compare with
    return {name: kind() for name, kind in [*sorted(found.items()), *others.items()]}


def format_named(name: str) -> Format:
    """The format of that name.

    Raises:
        UnknownFormatError: there is none.
    """
    known = all_formats()
    if name in known:
        return known[name]
    kind, colon, file = name.partition(":")
    if kind == DescribedFormat.name and colon:
        return _described_by(Path(file).absolute())
    hint = did_you_mean(name, known, f"Known formats: {', '.join(known)}.")
    raise UnknownFormatError(f"Unknown import format '{name}'.", remedy=hint)


@cache
def _described_by(file: Path) -> DescribedFormat:
    if not file.is_file():
        raise UnknownFormatError(f"--as {DescribedFormat.name}:{file}: there is no such file.")
    return DescribedFormat(file)


def search(
    paths: Iterable[Path], forced: str | None = None, *, follow: bool = False, within: Path | None = None
) -> Iterator[Found]:
    """Everything importable at `paths`, in order; folders that are not episodes themselves are searched.

    Links may lead only into `within` (None: each path itself), unless links are to be followed.

    Raises:
        UnknownFormatError: `forced` is not a format.
    """
    wanted = [format_named(forced)] if forced else list(all_formats().values())
    for path in paths:
        yield from _Search(wanted, Bounds(within or path, follow=follow)).everything(path)


class _Search:
    """Search of one path given by the user."""

    def __init__(self, wanted: list[Format], bounds: Bounds) -> None:
        self._wanted = wanted
        self._bounds = bounds
        self._links: list[Path] = []

    def everything(self, path: Path) -> Iterator[Found]:
        """Visit links last, so their targets keep their own names."""
        self._bounds.first_time(path)
        yield from self._at(path, named=True)
        while self._links:
            link = self._links.pop(0)
            if not link.exists() or self._bounds.first_time(link):
                yield from self._at(link, named=False)

    def _at(self, path: Path, *, named: bool) -> Iterator[Found]:
        try:
            self._bounds.require(path)
            known = self._recognised(path)
            if known is not None and path.is_dir():
                self._bounds.require_all(path)
        except RecordingError as error:
            if named or path.is_dir() or self._is_one(path):
                yield Found(path=path, format=None, refused=error)
            return
        if known is not None:
            yield Found(path=path, format=known)
        elif path.is_dir():
            yield from self._inside(path)
        elif named or self._is_one(path):
            yield Found(path=path, format=None, refused=_refusal(path, self._wanted))

    def _recognised(self, path: Path) -> str | None:
        """The format whose file or folder this is.

        Raises:
            RecordingError: it looks like one but is damaged.
        """
        if is_special(path):
            raise RefusedError(Defect.UNREADABLE, SPECIAL)
        damaged: RecordingError | None = None
        for candidate in self._wanted:
            try:
                if candidate.recognises(path):
                    return candidate.spoken
            except RecordingError as error:
                damaged = error
            except OSError as error:
                damaged = RefusedError(Defect.UNREADABLE, f"unreadable ({why(error)})")
        if damaged is not None:
            raise damaged
        return None

    def _is_one(self, path: Path) -> bool:
        return path.name.endswith(suffixes(self._wanted))

    def _inside(self, folder: Path) -> Iterator[Found]:
        try:
            entries = sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
        except OSError as error:
            refused = RefusedError(Defect.UNREADABLE, f"unreadable ({why(error)})")
            yield Found(path=folder, format=None, refused=refused)
            return
        for entry in entries:
            if entry.is_symlink():
                self._links.append(entry)
            elif self._bounds.first_time(entry) or not entry.is_dir():
                yield from self._at(entry, named=False)


def suffixes(wanted: Iterable[Format] | None = None) -> tuple[str, ...]:
    """Suffixes of files that some format reads."""
    kinds = all_formats().values() if wanted is None else wanted
    return tuple(sorted({suffix for kind in kinds for suffix in kind.suffixes}))


def _refusal(path: Path, wanted: list[Format]) -> RefusedError:
    """Why no format recognised a file."""
    pointer = missing_content(path)
    if pointer is not None:
        return pointer
    if path.is_symlink() and not path.exists():
        return RefusedError(Defect.UNREADABLE, "unreadable (a broken link)")
    try:
        with path.open("rb") as file:
            file.read(1)
    except OSError as error:
        return RefusedError(Defect.UNREADABLE, f"unreadable ({why(error)})")
    for candidate in wanted:
        if path.name.endswith(candidate.suffixes or ("/",)):
            damage = candidate.damage(path)
            if damage is not None:
                return RefusedError(Defect.UNREADABLE, damage)
    return unknown.refusal(path, wanted)
