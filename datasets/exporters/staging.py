"""Where an export grows: a hidden folder beside its destination, taken up again after an interruption.

``.<name>.partial/`` holds finished ``parts/``, the ``payload`` that will get the destination's name, and
``state.json``: how many episodes are done, of which source, and since which start of the machine. Nothing of another
source, and nothing that a power cut may have torn, is ever taken up.
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
"""In every card; a folder without it is nobody's export and is never replaced."""
_BOOT = Path("/proc/sys/kernel/random/boot_id")


class Workplace:
    """A context manager: locked while an export works on it; kept when it does not come to its end."""

    def __init__(self, out: Path, fingerprint: str, *, single: bool, force: bool = False) -> None:
        """`out` is one file when `single`, a folder otherwise; `force` replaces an export that is there.

        Raises:
            ExportError: something is at `out` that must not be replaced.
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
        """What gets the destination's name at the end."""
        return self._folder / ("payload" + self.out.suffix if self.single else "payload")

    @property
    def parts(self) -> Path:
        """Pieces that are finished, one or more for each episode."""
        return self._folder / "parts"

    def part(self, index: int) -> Path:
        """The folder of one episode's pieces."""
        return self.parts / f"{index:06d}"

    def check(self) -> None:
        """Raises ExportError when something is at `out` that must not be replaced."""
        if not os.path.lexists(self.out):
            return
        if not self._force:
            raise ExportError(f"{self.out} exists. Choose another name, or say --force to replace it.")
        if self.single and not self.out.is_file():
            raise ExportError(f"{self.out} is no file, and this format writes one. Choose another name.")
        if not self.single and not _is_export(self.out):
            raise ExportError(
                f"{self.out} was not written by an export, so --force does not replace it. Choose another name."
            )

    def __enter__(self) -> Self:
        """Take up what an interrupted export of the same source left, or begin anew.

        Raises:
            LockedError: another process writes the same export. ExportError: nothing can be written there.
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
        """Let go; what is done stays for the next attempt."""
        self._lock.release()

    @property
    def done(self) -> int:
        """Episodes that are finished."""
        return self._state() or 0

    def mark(self, done: int) -> None:
        """Remember that `done` episodes are finished."""
        make_folder(self.parts)
        state = {"fingerprint": self._fingerprint, "boot": _boot(), "done": done}
        # the state need not survive a power cut, after which nothing is taken up
        partial = self._folder / "state.json.partial"
        write_text(partial, json.dumps(state))
        partial.replace(self._folder / "state.json")

    def publish(self, card: str) -> None:
        """Give the payload its name, with its card; from here on it is complete, also after a power cut."""
        self.check()
        card_path = self.out.with_name(f"{self.out.stem}.{CARD}") if self.single else self.payload / CARD
        write_text(card_path, card)
        # one call for any number of files; each by itself would take minutes for a store of single frames
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
        """Episodes done of this very source since the machine was started; None when there is nothing to take up."""
        try:
            state = from_json(read_bytes(self._folder / "state.json"))
            same = state["fingerprint"] == self._fingerprint and state["boot"] == _boot()
            return int(state["done"]) if same else None
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def _clear(self) -> None:
        """Remove what exports put there. Raises ExportError when something else lies there as well."""
        ours = {self.parts.name, self.payload.name, "replaced", "state.json", "state.json.partial"}
        for entry in sorted(self._folder.iterdir()):
            if entry.name in ours:
                remove(entry)
            elif entry != self._lock.path:
                raise ExportError(
                    f"{entry} was not put there by an export, and nothing in {self._folder} was touched for its sake. "
                    "Move it away, or choose another place for the export."
                )


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """A path, free of leftovers, that becomes `path` when the block ends well; for a file or a folder."""
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
    """Changes when the machine is started; a part that was finished before may not have reached the disk."""
    try:
        return _BOOT.read_text().strip()
    except OSError:
        return ""
