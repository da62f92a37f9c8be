"""Explanation of an unrecognised file: its content, the closest format, and how to make it readable."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from pathlib import Path

from datasets.importers.defects import Defect, RefusedError
from datasets.importers.files import members
from datasets.importers.interface import Format

_LARGEST_PICKLE = 2**28
"""Maximum bytes of a pickle that is read to describe its content."""
_ALIKE = 0.75
"""Minimum similarity of two names that may mean the same, 0..1."""
_DESCRIBE = "describe it: station import SESSION PATH --describe (station guide importing)"


def refusal(path: Path, wanted: Sequence[Format]) -> RefusedError:
    """Why no format recognised a file that could be opened."""
    known = f"unrecognised format (known: {', '.join(kind.name for kind in wanted)})"
    if not path.name.endswith(members.SUFFIXES):
        return RefusedError(Defect.UNREADABLE, known)
    if path.name.endswith(members.PICKLES) and path.stat().st_size > _LARGEST_PICKLE:
        return RefusedError(Defect.UNREADABLE, f"{known}; the pickle is too big to look into; {_DESCRIBE}")
    try:
        with members.opened(path) as found:
            seen, nearest = members.said(found), _nearest(found, wanted)
    except RefusedError as error:
        return error
    return RefusedError(
        Defect.UNREADABLE,
        f"unrecognised format. It holds {seen}. {nearest}To import it, {_DESCRIBE}",
    )


def _nearest(found: Iterable[str], wanted: Sequence[Format]) -> str:
    """The format with the largest share of its members present, and the missing ones."""
    names = list(found)
    scored = [
        (sum(_likeness(names, member) for member in kind.members), kind) for kind in wanted if kind.members
    ]
    score, best = max(scored, key=lambda pair: pair[0], default=(0.0, None))
    if best is None or score == 0:
        return ""
    missing = [member for member in best.members if _likeness(names, member) < 1]
    return f"The nearest format is {best.name}, which also needs {', '.join(missing)}. "


def _likeness(names: Sequence[str], member: str) -> float:
    """1 if present, also as a group; less if only its last word, or a similar one, is."""
    if any(name == member or name.startswith(f"{member}/") for name in names):
        return 1.0
    last = member.rsplit("/", maxsplit=1)[-1]
    return 0.5 if difflib.get_close_matches(last, [name.split("/")[-1] for name in names], 1, _ALIKE) else 0.0
