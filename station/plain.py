"""The only way text reaches a terminal: without control characters, and never read as markup.

Names, notes, instructions and the values of files come from other people. Printed as they are, they could move the
cursor, recolour or hide what stands beside them, or make a terminal answer as if somebody had typed. Commands print
with `say` and `terminal`; the UI filters every line it draws with `drawable`.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, TextIO

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
del _SHOWN[ord("\n")], _SHOWN[ord("\t")], _DRAWN[ord("\n")]


class ReaderGoneError(Exception):
    """The reader of a command's output has closed the pipe, as ``head`` does."""


def visible(text: str) -> str:
    """The text with a sign in place of every control character; lines and tabs stay."""
    return text.translate(_SHOWN)


def drawable(text: str) -> str:
    """The same for text of measured width: control characters, which have none, are removed."""
    return text.translate(_DRAWN)


def say(text: str = "", *, err: bool = False, nl: bool = True) -> None:
    """Print for a person. `err`: to standard error. `nl`: end the line. Raises ReaderGoneError."""
    stream = sys.stderr if err else sys.stdout
    try:
        stream.write(_encodable(visible(text), stream) + "\n" * nl)
        stream.flush()
    except BrokenPipeError:
        _reader_gone(stream)


def terminal(*, stderr: bool = False, width: int | None = None) -> Console:
    """For tables and panels. Strings are text, not markup; colours come from Rich's own `Text` and styles."""
    from rich.console import Console, ConsoleOptions, RenderableType
    from rich.segment import Segment

    class Plain(Console):
        def render(
            self, renderable: RenderableType, options: ConsoleOptions | None = None
        ) -> Iterable[Segment]:
            for piece in super().render(renderable, options):
                yield piece if piece.control else Segment(drawable(piece.text), piece.style)

        def on_broken_pipe(self) -> None:
            self.quiet = True
            _reader_gone(sys.stderr if stderr else sys.stdout)

    return Plain(stderr=stderr, width=width, markup=False, emoji=False, highlight=False)


class PlainFormatter(logging.Formatter):
    """For logs that people read in a terminal."""

    def format(self, record: logging.LogRecord) -> str:
        """See Formatter."""
        return visible(super().format(record))


def _reader_gone(stream: TextIO) -> NoReturn:
    """Discard what is left in the stream: the interpreter would otherwise complain at exit."""
    with suppress(OSError), Path(os.devnull).open("wb") as nowhere:
        os.dup2(nowhere.fileno(), stream.fileno())
    raise ReaderGoneError


def _encodable(text: str, stream: TextIO) -> str:
    """Replace what the terminal's encoding lacks with question marks instead of failing."""
    encoding = stream.encoding or "utf-8"
    return text.encode(encoding, "replace").decode(encoding)
