"""Classes that installed packages add, found by their entry points (`importlib.metadata`).

A package of this environment is trusted, because installing one already runs its code; a file from someone else can
name none of these classes. Nothing is searched in the current folder.
"""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points
from typing import TypeVar

from datasets.errors import ExitCode, StationError

Base = TypeVar("Base")

FORMATS = "station.formats"
"""Entry point group of formats to read."""
EXPORTERS = "station.exporters"
"""Entry point group of formats to write."""


class PackageError(StationError):
    """An installed package offers something that cannot be used; the message names it and says what to do."""

    exit_code = ExitCode.USAGE


def added(group: str, base: type[Base], own: dict[str, type[Base]]) -> dict[str, type[Base]]:
    """name -> class of `base` for each entry point of `group`, none of which may have a name in `own`.

    Raises:
        PackageError: one cannot be loaded, is no `base`, or takes the name of another.
    """
    found: dict[str, type[Base]] = {}
    for point in sorted(entry_points(group=group), key=lambda point: (point.name, point.value)):
        kind = _loaded(point, base)
        name = str(getattr(kind, "name", ""))
        if name != point.name:
            raise _refused(point, f"its class is called '{name}'", "Give both the same name.")
        if name in own or name in found:
            raise _refused(point, f"'{name}' is already there", "Rename it.")
        found[name] = kind
    return found


def _loaded(point: EntryPoint, base: type[Base]) -> type[Base]:
    try:
        kind = point.load()
    except Exception as error:  # another package's module can raise anything
        raise _refused(point, f"it cannot be loaded ({type(error).__name__}: {error})") from error
    if not (isinstance(kind, type) and issubclass(kind, base)):
        raise _refused(point, f"it is no {base.__name__}", f"Derive it from {base.__name__}.")
    return kind


def _refused(point: EntryPoint, why: str, remedy: str = "") -> PackageError:
    package = point.dist.name if point.dist is not None else "unknown"
    return PackageError(
        f"The installed package {package} offers '{point.name}' ({point.value}) in {point.group}, and {why}.",
        remedy=f"{remedy} Or remove the package: pip uninstall {package}".strip(),
    )
