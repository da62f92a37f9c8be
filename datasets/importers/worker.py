"""A reader in a process of its own: foreign bytes may crash, hang or swell it, and only one episode is refused for it.

The child may use so much memory and be silent for so long; beyond that it is ended and a new one takes the next
episode. Requests and answers travel through a pipe, pictures as plain bytes beside them.
"""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import resource
import signal
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from datasets.episode import Episode
from datasets.importers.defects import Defect, RefusedError, why
from datasets.importers.findings import Answers, Finding, Look
from datasets.importers.interface import Source
from datasets.importers.reader import Reader, refusal
from datasets.importers.registry import UnknownFormatError, format_named
from datasets.spec import DataSpec

log = logging.getLogger(__name__)

MEMORY = 3 * 2**29
"""Bytes of data that a reader may hold: an episode, what it is read from, and the decoders."""
PATIENCE = 60.0
"""s without a sign of life after which a reader counts as hung."""
_SLOWEST = 20e6
"""Bytes per second at which a file that is read whole may come in, on top of that."""
_BEAT = 0.2
"""s between two signs of life."""
_DYING = 10.0
"""s after the end of its pipe within which a reader's exit code is known, also on a busy machine."""
_FAREWELL = 2.0
"""s that a reader gets to end by itself once nobody asks any more."""


@dataclass(frozen=True, kw_only=True)
class _Search:
    """What was asked of a search, and the path that was named."""

    forced: str | None = None
    follow: bool = False
    within: Path


class IsolatedReader:
    """As `Reader`; close it after use."""

    def __init__(self, *, memory: int = MEMORY, patience: float = PATIENCE) -> None:
        """`memory` bytes and `patience` s are what one episode may take."""
        self._memory = memory
        self._patience = patience
        self._child: _Child | None = None
        self._outlined: set[str] = set()

    def find(
        self, paths: Iterable[Path], forced: str | None = None, *, follow: bool = False
    ) -> list[Source | Finding]:
        """See Reader."""
        found: list[Source | Finding] = []
        for path in paths:
            asked = _Search(forced=forced, follow=follow, within=path)
            found += [one for each in self._find(path, asked) for one in self._with_more_memory(each, asked)]
        return found

    def _with_more_memory(self, source: Source | Finding, asked: _Search) -> list[Source | Finding]:
        """A file that is read whole, and did not fit, is asked once more with the memory that its format names."""
        too_big = isinstance(source, Finding) and any(n.defect is Defect.TOO_BIG for n in source.defects)
        if not isinstance(source, Finding) or not too_big or not source.format or source.key:
            return [source]
        place = Source(path=source.path, format=source.format)
        try:
            extra = self._extra(place)
            if not extra:
                return [source]
            words = (source.format, asked.follow, asked.within)
            again: list[Source | Finding] = self._ask("find", [source.path], *words, extra=extra)
        except RefusedError:
            return [source]
        return again

    def _find(self, path: Path, asked: _Search) -> list[Source | Finding]:
        """A folder whose listing ends the reader is looked through entry by entry, so that one file spoils no other."""
        try:
            words = (asked.forced, asked.follow, asked.within)
            found: list[Source | Finding] = self._ask("find", [path], *words)
        except RefusedError as error:
            # a link may lead round in a circle, and what it leads to has a name of its own or is not inside
            is_folder = path.is_dir() and (path == asked.within or not path.is_symlink())
            entries = sorted(path.iterdir()) if is_folder else []
            shown = [entry for entry in entries if not entry.name.startswith(".")]
            inside = [source for entry in shown for source in self._find(entry, asked)]
            return inside or [refusal(path, asked.forced or "", error)]
        return found

    def fingerprint(self, source: Source) -> str:
        """See Reader."""
        try:
            return str(self._ask("fingerprint", source, extra=self._extra(source)))
        except RefusedError:
            return ""

    def describe(self, path: Path, spec: DataSpec) -> str:
        """See Reader."""
        return str(self._ask("describe", path, spec))

    def success(self, source: Source) -> bool | None:
        """See Reader."""
        try:
            found: bool | None = self._ask("success", source, extra=self._extra(source))
        except RefusedError:
            return None
        return found

    def look(
        self, source: Source, spec: DataSpec, answers: Answers, *, fingerprint: str, ordinal: int
    ) -> Look:
        """See Reader."""
        try:
            look = self._ask("look", source, spec, answers, fingerprint, ordinal, extra=self._extra(source))
        except RefusedError as error:
            finding = refusal(source.path, source.format, error, key=source.key, fingerprint=fingerprint)
            return Look(finding=finding)
        assert isinstance(look, Look)
        # a child that replaced another one tells again what was told already
        if look.outline is not None and look.outline.structure in self._outlined:
            return replace(look, outline=None)
        if look.outline is not None:
            self._outlined.add(look.outline.structure)
        return look

    def close(self) -> None:
        """End the child."""
        if self._child is not None:
            self._child.end()
            self._child = None

    def _extra(self, source: Source) -> int:
        try:
            return format_named(source.format).memory(source.path)
        except OSError as error:
            raise RefusedError(Defect.UNREADABLE, f"unreadable ({why(error)})") from error

    def _ask(self, method: str, *words: Any, extra: int = 0) -> Any:
        if self._child is not None and self._child.memory < self._memory + extra:
            self.close()
        if self._child is None:
            self._child = _Child(self._memory + extra, self._patience + extra / _SLOWEST)
        try:
            return self._child.ask(method, words)
        except RefusedError as error:
            if error.defect in (Defect.READER_DIED, Defect.TOO_BIG) and not self._child.alive:
                self.close()
            raise


@contextlib.contextmanager
def isolated_reader(*, memory: int = MEMORY, patience: float = PATIENCE) -> Iterator[IsolatedReader]:
    """A reader in a process that ends with the block."""
    reader = IsolatedReader(memory=memory, patience=patience)
    try:
        yield reader
    finally:
        reader.close()


class _Child:
    """The parent's end of one child."""

    def __init__(self, memory: int, patience: float) -> None:
        self.memory = memory
        self._patience = patience
        context = multiprocessing.get_context("spawn")
        self._pipe, other = context.Pipe()
        self._process = context.Process(target=_serve, args=(other, memory), daemon=True)
        # Ctrl-C, which reaches the child as well, is this process's business alone: the child inherits the mask. The
        # tracker of multiprocessing would lift it if it were started by the way.
        resource_tracker.ensure_running()
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            self._process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        other.close()

    @property
    def alive(self) -> bool:
        return self._process.is_alive()

    def ask(self, method: str, words: tuple[Any, ...]) -> Any:
        """One request and its answer.

        Raises:
            RefusedError: the child died, hung, or ran out of memory.
        """
        try:
            self._pipe.send((method, words))
            while True:
                kind, content = self._hear()
                if kind == "answer":
                    return self._with_pictures(content)
                if kind == "refused":
                    raise RefusedError(*content)
                if kind == "wrong":
                    raise UnknownFormatError(content)
        except (EOFError, ConnectionError, OSError) as error:
            raise self._dead() from error

    def _hear(self) -> tuple[str, Any]:
        if not self._pipe.poll(self._patience):
            self._process.kill()
            self.end()
            raise RefusedError(
                Defect.READER_DIED,
                f"reading it hung for {self._patience:.0f} s and was given up; it is damaged",
            )
        message: tuple[str, Any] = self._pipe.recv()
        return message

    def _with_pictures(self, content: Any) -> Any:
        """Put the pictures, which follow as bytes, back into their episode."""
        if not isinstance(content, Look) or content.episode is None:
            return content
        images = {}
        for name, empty in content.episode.images.items():
            images[name] = np.empty(tuple(empty.tolist()), np.uint8)
            self._pipe.recv_bytes_into(images[name].reshape(-1).data)
        return replace(content, episode=replace(content.episode, images=images))

    def _dead(self) -> RefusedError:
        self._process.join(_DYING)
        code = self._process.exitcode
        self.end()
        why = signal.Signals(-code).name if code is not None and code < 0 else f"exit code {code}"
        return RefusedError(Defect.READER_DIED, f"reading it ended the reader ({why}); it is damaged")

    def end(self) -> None:
        """Let it go, and kill what does not; it holds nothing that is worth saving."""
        # one that ends by itself gives its semaphores back, else Python warns of them when this process ends
        self._pipe.close()
        self._process.join(_FAREWELL)
        self._process.kill()
        self._process.join()


class _Pulse:
    """Tells the parent now and then that work goes on."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe
        self._last = time.monotonic()

    def __call__(self) -> None:
        now = time.monotonic()
        if now - self._last > _BEAT:
            self._last = now
            self._pipe.send(("beat", None))


def _serve(pipe: Connection, memory: int) -> None:
    """The child's whole life."""
    resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    reader = Reader(_Pulse(pipe))
    with contextlib.suppress(EOFError, BrokenPipeError):
        while True:
            method, words = pipe.recv()
            _answer(pipe, reader, method, words)


def _answer(pipe: Connection, reader: Reader, method: str, words: tuple[Any, ...]) -> None:
    try:
        match method:
            case "find":
                paths, forced, follow, within = words
                answer: Any = reader.find(paths, forced, follow=follow, within=within)
            case "fingerprint" | "describe" | "success":
                answer = getattr(reader, method)(*words)
            case _:
                source, spec, answers, fingerprint, ordinal = words
                answer = reader.look(source, spec, answers, fingerprint=fingerprint, ordinal=ordinal)
    except UnknownFormatError as error:
        pipe.send(("wrong", str(error)))
    except RefusedError as error:
        pipe.send(("refused", (error.defect, str(error))))
    except MemoryError:
        pipe.send(("refused", (Defect.TOO_BIG, "reading it takes more memory than an import may use")))
    except (BrokenPipeError, KeyboardInterrupt):
        raise
    except Exception as error:  # whatever a damaged file does to a library
        log.warning("reading failed: %s", words[:1], exc_info=True)
        text = f"unreadable, damaged ({type(error).__name__}: {error})"[:500]
        pipe.send(("refused", (Defect.READER_DIED, text)))
    else:
        _send(pipe, answer)


def _send(pipe: Connection, answer: Any) -> None:
    if not isinstance(answer, Look) or answer.episode is None:
        pipe.send(("answer", answer))
        return
    episode: Episode = answer.episode
    shapes = {name: np.asarray(images.shape, np.int64) for name, images in episode.images.items()}
    pipe.send(("answer", replace(answer, episode=replace(episode, images=shapes))))  # type: ignore[arg-type]
    for images in episode.images.values():
        pipe.send_bytes(np.ascontiguousarray(images).reshape(-1).data)
