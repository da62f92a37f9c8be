"""The only way text reaches a terminal: without control characters, line by line, and never read as markup.

Names, notes, instructions and the values of files come from other people. Printed as they are, they could move the
cursor, recolour or hide what stands beside them, make a terminal answer as if somebody had typed, or imitate a line of
ours. Commands print with `say` and `terminal`, which break lines only where the caller does; the UI filters every line
it draws with `drawable`, and foreign text in what it composes with `visible`.
"""

from __future__ import annotations

import errno
import logging
import os
import stat
import sys
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TextIO

from datasets.log_lines import STAMP

if TYPE_CHECKING:
    from rich.console import Console

_CONTROLS = [*range(0x20), 0x7F, *range(0x80, 0xA0)]
_UNSEEN = [0x061C, 0x200E, 0x200F, 0x2028, 0x2029, *range(0x202A, 0x202F), *range(0x2066, 0x206A), 0xFEFF]
"""Characters that reorder text, break lines, or are invisible."""
_BROKEN = range(0xD800, 0xE000)
"""Surrogates: bytes of a file name that are not text."""

_DRAWN: dict[int, str | None] = dict.fromkeys([*_CONTROLS, *_UNSEEN]) | dict.fromkeys(_BROKEN, "�")
_SHOWN = (
    dict.fromkeys([*_UNSEEN, *_BROKEN, *range(0x80, 0xA0)], "�")
    | {code: chr(0x2400 + code) for code in range(0x20)}
    | {0x7F: "␡"}
)
del _SHOWN[ord("\t")], _DRAWN[ord("\n")]


class ReaderGoneError(Exception):
    """The reader of a command's output has closed the pipe, as ``head`` does."""


def visible(text: str) -> str:
    """The text as one line, with a sign in place of every control character; tabs stay."""
    return text.translate(_SHOWN)


def drawable(text: str) -> str:
    """The same for text of measured width: control characters, which have none, are removed."""
    return text.translate(_DRAWN)


def say(*lines: str, err: bool = False, nl: bool = True) -> None:
    """Print lines for a person. `err`: to standard error. `nl`: end the last line. Raises ReaderGoneError."""
    stream = sys.stderr if err else sys.stdout
    try:
        stream.write(_encodable("\n".join(map(visible, lines)), stream) + "\n" * nl)
        stream.flush()
    except BrokenPipeError:
        _reader_gone(stream)
    except OSError as error:
        _require_closed_terminal(error, stream)


def terminal(*, stderr: bool = False, width: int | None = None) -> Console:
    """For tables and panels. Strings are lines of text, not markup; colours come from Rich's own `Text` and styles."""
    from rich.console import Console, ConsoleOptions, RenderableType
    from rich.segment import Segment
    from rich.text import Text

    class Plain(Console):
        def render_str(self, text: str, **options: Any) -> Text:
            return super().render_str(visible(text), **options)

        def render(
            self, renderable: RenderableType, options: ConsoleOptions | None = None
        ) -> Iterable[Segment]:
            for piece in super().render(renderable, options):
                yield piece if piece.control else Segment(drawable(piece.text), piece.style)

        def on_broken_pipe(self) -> None:
            self.quiet = True
            _reader_gone(sys.stderr if stderr else sys.stdout)

        def _check_buffer(self) -> None:
            try:
                super()._check_buffer()
            except OSError as error:
                self.quiet = True
                _require_closed_terminal(error, sys.stderr if stderr else sys.stdout)

    return Plain(stderr=stderr, width=width, markup=False, emoji=False, highlight=False)


class PlainFormatter(logging.Formatter):
    """For logs that people read in a terminal; the lines of a traceback are indented."""

    def __init__(self, form: str = f"{STAMP}%(message)s") -> None:
        """`form`: of a line; in a terminal, what is said now needs no stamp."""
        super().__init__(form)

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - the base class's name
        """See Formatter."""
        return visible(super().formatMessage(record))

    def formatException(self, ei: Any) -> str:  # noqa: N802
        """See Formatter."""
        return "\n".join(f"  {visible(line)}" for line in super().formatException(ei).split("\n"))


def _reader_gone(stream: TextIO) -> NoReturn:
    _discard(stream)
    raise ReaderGoneError


def _require_closed_terminal(error: OSError, stream: TextIO) -> None:
    """Print no more on a terminal that was closed: its SIGHUP says how the command ends. Raises any other error."""
    if error.errno != errno.EIO or not _is_terminal(stream):
        raise error
    _discard(stream)


def _is_terminal(stream: TextIO) -> bool:
    """Also a closed one, for which isatty says no."""
    try:
        return stat.S_ISCHR(os.fstat(stream.fileno()).st_mode)
    except (OSError, ValueError):
        return False


def _discard(stream: TextIO) -> None:
    """Discard what is left in the stream: the interpreter would otherwise complain at exit."""
    with suppress(OSError), Path(os.devnull).open("wb") as nowhere:
        os.dup2(nowhere.fileno(), stream.fileno())


def _encodable(text: str, stream: TextIO) -> str:
    """Replace what the terminal's encoding lacks with question marks instead of failing."""
    encoding = stream.encoding or "utf-8"
    return text.encode(encoding, "replace").decode(encoding)
