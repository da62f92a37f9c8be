"""Staging area of an export: a hidden folder beside its destination, resumed after an interruption.

``.<name>.partial/`` holds finished ``parts/``, the ``payload`` that will be renamed to the destination, and
``state.json``: how many episodes are done, of which source, and in which boot of the machine. An export never resumes
from another source, or from data that a power cut may have torn.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from datasets.durable import Disk
from datasets.exporters.error import ExportError
from datasets.lock import WriterLock
from datasets.own_files import (
    NotOursError,
    make_folder,
    read_bytes,
    remove,
    require_folder,
    require_owner,
    write_text,
)
from datasets.plain_text import from_json

CARD = "README.md"
MARK = "<!-- written by station export -->"
"""Marker in every card; a folder without it is not an export and is never replaced."""
_BOOT = Path("/proc/sys/kernel/random/boot_id")


class Workplace:
    """Context manager for one export's staging area: locked while in use, kept if the export is interrupted."""

    def __init__(self, out: Path, fingerprint: str, *, single: bool, force: bool = False) -> None:
        """`out` is a file if `single`, otherwise a folder; `force` replaces an existing export.

        Raises:
            ExportError: `out` holds something that must not be replaced.
        """
        self.out = out
        self.single = single
        self._force = force
        self._fingerprint = fingerprint
        self._folder = out.with_name(f".{out.name}.partial")
        self._lock = WriterLock(self._folder / "lock")
        self.check()

    @property
    def payload(self) -> Path:
        """The file or folder that is finally renamed to the destination."""
        return self._folder / ("payload" + self.out.suffix if self.single else "payload")

    @property
    def parts(self) -> Path:
        """Folder of finished pieces, one or more per episode."""
        return self._folder / "parts"

    def part(self, index: int) -> Path:
        """The folder of one episode's pieces."""
        return self.parts / f"{index:06d}"

    def check(self) -> None:
        """Raises ExportError when `out` holds something that must not be replaced."""
        if not os.path.lexists(self.out):
            return
        if not self._force:
            raise ExportError(f"{self.out} exists. Choose another name, or add --force to replace it.")
        if self.single and not self.out.is_file():
            raise ExportError(
                f"{self.out} is not a file, but this format writes a single file. Choose another name."
            )
        if not self.single and not _is_export(self.out):
            raise ExportError(
                f"{self.out} was not written by an export, so --force does not replace it. Choose another name."
            )
        try:
            require_owner(self.out)
        except NotOursError as error:
            raise ExportError(str(error)) from error

    def __enter__(self) -> Self:
        """Resume an interrupted export of the same source, or start from scratch.

        Raises:
            LockedError: another process is writing the same export. ExportError: the destination is not writable.
        """
        try:
            with suppress(FileExistsError):
                self._folder.mkdir(parents=True)
            require_folder(self._folder)
            require_owner(self._folder)
            self._lock.acquire()
        except NotOursError as error:
            raise ExportError(str(error)) from error
        except OSError as error:
            raise ExportError(
                f"Nothing can be written to {self.out.parent} ({(error.strerror or str(error)).lower()}). "
                f"Choose another place for {self.out.name}."
            ) from error
        try:
            if self._state() is None:
                self._clear()
                self.mark(0)
        except BaseException:
            self._lock.release()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Release the lock; finished work stays for the next attempt."""
        self._lock.release()

    @property
    def done(self) -> int:
        """Number of finished episodes."""
        return self._state() or 0

    def mark(self, done: int) -> None:
        """Record that `done` episodes are finished."""
        make_folder(self.parts)
        state = {"fingerprint": self._fingerprint, "boot": _boot(), "done": done}
        # the state need not survive a power cut, because nothing is resumed after one
        partial = self._folder / "state.json.partial"
        write_text(partial, json.dumps(state))
        partial.replace(self._folder / "state.json")

    def publish(self, card: str) -> None:
        """Rename the payload, with its card, to the destination; it is complete and durable from here on."""
        self.check()
        card_path = self.out.with_name(f"{self.out.stem}.{CARD}") if self.single else self.payload / CARD
        write_text(card_path, card)
        # one sync for all files; fsync per file would take minutes for a store of single frames
        os.sync()
        if not self.single and os.path.lexists(self.out):
            replaced = self._folder / "replaced"
            remove(replaced)
            self.out.rename(replaced)
        self.payload.replace(self.out)
        Disk().sync(self.out.parent)
        self._clear()
        self._lock.path.unlink()
        self._folder.rmdir()

    def _state(self) -> int | None:
        """Number of episodes of this source finished since boot; None if there is nothing to resume."""
        try:
            state = from_json(read_bytes(self._folder / "state.json"))
            same = state["fingerprint"] == self._fingerprint and state["boot"] == _boot()
            return int(state["done"]) if same else None
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def _clear(self) -> None:
        """Remove an export's files. Raises ExportError if there is anything else."""
        ours = {self.parts.name, self.payload.name, "replaced", "state.json", "state.json.partial"}
        for entry in sorted(self._folder.iterdir()):
            if entry.name in ours:
                remove(entry)
            elif entry != self._lock.path:
                raise ExportError(
                    f"{entry} was not written by an export, so nothing in {self._folder} was removed. "
                    "Move it away, or choose another place for the export."
                )


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """A clean temporary path that is renamed to `path` if the block succeeds; for a file or folder."""
    partial = path.with_name(f"{path.name}.partial")
    remove(partial)
    path.parent.mkdir(parents=True, exist_ok=True)
    yield partial
    remove(path)
    partial.rename(path)


def _is_export(path: Path) -> bool:
    try:
        return MARK in (path / CARD).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False


def _boot() -> str:
    """An id of the current boot; parts finished in an earlier one may not have reached the disk."""
    try:
        return _BOOT.read_text().strip()
    except OSError:
        return ""
