"""Check that an HDF5 file contains all of its own data and refers to no other files on the computer.

External links, virtual datasets and external raw storage name other files, whose bytes would be read as numbers or
images and leave with the next export. Soft links stay inside the file and are allowed.
"""

from __future__ import annotations

from collections.abc import Iterator

import h5py
from h5py import h5d, h5g, h5l, h5o

_DAMAGE = (OSError, RuntimeError, KeyError, ValueError, TypeError)
"""What h5py raises for an object that cannot be opened, and so cannot be read through either."""
_REMEDY = "only data inside the file are read; write a file that holds them itself and use that"


def leads_outside(file: h5py.File) -> str | None:
    """The first reference in an open file to data outside it, with the remedy; None if there is none."""
    seen: set[int] = set()
    waiting = [(b"", h5g.open(file.id, b"/"))]
    while waiting:
        place, group = waiting.pop()
        for name, link in _links(group):
            path = b"/".join((place, name)) if place else name
            if link.type not in (h5l.TYPE_HARD, h5l.TYPE_SOFT):
                return f"{_quoted(path)} is a link into {_target(group, name, link)}; {_REMEDY}"
            member = _opened(group, name) if link.type == h5l.TYPE_HARD and link.u not in seen else None
            seen.add(link.u if link.type == h5l.TYPE_HARD else -1)
            if isinstance(member, h5g.GroupID):
                waiting.append((path, member))
            elif isinstance(member, h5d.DatasetID) and (kind := _storage_elsewhere(member)):
                return f"{_quoted(path)} is {kind}; {_REMEDY}"
    return None


def _links(group: h5g.GroupID) -> Iterator[tuple[bytes, h5l.LinkInfo]]:
    """A group's members by name, without following links."""
    try:
        for name in group:
            yield name, group.links.get_info(name)
    except _DAMAGE:
        return


def _opened(group: h5g.GroupID, name: bytes) -> h5py.h5i.ObjectID | None:
    try:
        return h5o.open(group, name)
    except _DAMAGE:
        return None


def _target(group: h5g.GroupID, name: bytes, link: h5l.LinkInfo) -> str:
    if link.type != h5l.TYPE_EXTERNAL:
        return "something that is not HDF5's own"
    return f"another file, {_quoted(group.links.get_val(name)[0])}"


def _storage_elsewhere(dataset: h5d.DatasetID) -> str | None:
    """The mechanism that keeps a dataset's data in other files; None if it is in this one."""
    plan = dataset.get_create_plist()
    if plan.get_layout() == h5d.VIRTUAL:
        return "a virtual dataset, whose numbers are in other files"
    if plan.get_external_count():
        return f"stored outside, in the file {_quoted(plan.get_external(0)[0])}"
    return None


def _quoted(name: bytes | str) -> str:
    """A name from the file, without terminal control sequences."""
    text = name if isinstance(name, str) else name.decode("utf-8", "replace")
    return "'" + "".join(letter if letter.isprintable() else "?" for letter in text[:200]) + "'"
