"""Pointer files that Git LFS and git-annex leave where the content was not downloaded."""

from __future__ import annotations

from pathlib import Path

from datasets.importers.defects import Defect, RefusedError

_LFS = b"version https://git-lfs.github.com/spec/"
_ANNEX = (b"/annex/objects/", b".git/annex/objects/")
_LONGEST = 1024
"""Maximum bytes of a pointer file."""
_MOST = 2000
"""Maximum files checked per folder."""


def missing_content(path: Path) -> RefusedError | None:
    """A refusal if `path` is a pointer file, or a folder that contains one; None otherwise."""
    try:
        if path.is_dir():
            return _first_inside(path)
        return _of_file(path)
    except OSError:
        return None


def _first_inside(folder: Path) -> RefusedError | None:
    for number, path in enumerate(folder.rglob("*")):
        found = _of_file(path) if path.is_file() else None
        if found is not None or number >= _MOST:
            return found
    return None


def _of_file(path: Path) -> RefusedError | None:
    if path.is_symlink() and not path.exists() and "annex/objects/" in str(path.readlink()):
        return _refusal(path, "git-annex", "git annex get .")
    if not path.is_file() or path.stat().st_size > _LONGEST:
        return None
    head = path.read_bytes()
    if head.startswith(_LFS):
        return _refusal(path, "Git LFS", "git lfs pull")
    if any(head.strip().startswith(start) for start in _ANNEX):
        return _refusal(path, "git-annex", "git annex get .")
    return None


def _refusal(path: Path, who: str, command: str) -> RefusedError:
    return RefusedError(
        Defect.NOT_DOWNLOADED,
        f"{path.name} is only a {who} pointer, its content was not downloaded; run '{command}' in that folder and "
        "import it again",
    )
