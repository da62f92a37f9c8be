"""Characters from a terminal in, keys out; a split escape sequence is never read as the characters in it.

Pure: time comes from a clock argument, and no screen is involved. Sequences follow the terminal standards
(ECMA-48, SGR mouse reports, the kitty keyboard protocol); their meanings come from Textual's tables.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Collection, Iterator
from enum import Enum, auto

from textual import events, messages
from textual._ansi_sequences import ANSI_SEQUENCES_KEYS
from textual._keyboard_protocol import MODIFIER_FUNCTIONAL_KEYS
from textual._xterm_parser import XTermParser
from textual.message import Message

ESCAPE_WAIT = 0.7
"""s after which a lone ESC is the Escape key; a slow line may split a sequence there."""
REST_WAIT = 30.0
"""s in which the rest of a sequence that was split after its ESC is still recognised."""
PASTE_WAIT = 5.0
"""s of silence that end a paste whose end marker was lost."""
URGENT = frozenset("xX")
"""Characters recognised in any position: a stop must never wait."""

MODIFIERS = frozenset(MODIFIER_FUNCTIONAL_KEYS) | {"caps_lock", "num_lock", "scroll_lock"}
"""Keys that do nothing on their own, in any program."""

_ESC, _CANCEL, _LONGEST = "\x1b", "\x18", 256
_STRINGS = frozenset("]P_^")
"""After ESC: begin a report of free text, such as the terminal's colours."""
_END = "\x1b ends"
"""An ESC within a report: a following backslash ends the report."""
_PASTE, _PASTED = "\x1b[200~", "\x1b[201~"
_KITTY = re.compile(
    r"\x1b\[(?P<code>\d{0,7})(?::(?P<shifted>\d{0,7}))?(?::(?P<base>\d{1,7}))?"
    r"(?:;(?P<modifiers>\d{0,4})(?::(?P<kind>\d))?)?(?:;(?P<text>[\d:]{0,64}))?(?P<end>[u~ABCDEFHPQS])"
)
_MODE = re.compile(r"\x1b\[\?2026;([1-9])\$y")
_RELEASED = "3"


class Stroke(events.Key):
    """A key, with the letter on its cap in the US layout, if the terminal reports it."""

    def __init__(self, key: str, character: str | None, position: str | None = None) -> None:
        """`position`: ``x`` for the key left of ``c``, whatever letter it types."""
        super().__init__(key, character)
        self.position = position


# handlers of keys are handlers of strokes
Stroke.handler_name = events.Key.handler_name


class Torn(events.InputEvent, bubble=True):
    """A sequence that ended as no key's does: the key is unknown."""


class _State(Enum):
    GROUND = auto()
    ESCAPE = auto()
    SEQUENCE = auto()
    """ESC [ and the rest."""
    SHORT = auto()
    """ESC O and one character."""
    STRING = auto()
    PASTE = auto()
    CLICK = auto()
    """Three bytes of an old mouse report."""


class Keystrokes:
    """Reads what a terminal sends."""

    def __init__(self, urgent: Collection[str] = URGENT, clock: Callable[[], float] = time.monotonic) -> None:
        """`urgent`: characters that are keys even inside a malformed sequence; `clock` in s."""
        self._urgent = frozenset(urgent)
        self._clock = clock
        self._tables = XTermParser()
        self._state = _State.GROUND
        self._text = ""
        self._since = float("-inf")
        """When the last character of an unfinished sequence arrived."""
        self._escaped = float("-inf")
        """When an ESC was read as the Escape key, while nothing has followed it."""

    def feed(self, text: str) -> Iterator[Message]:
        """The events that these characters complete."""
        for character in text:
            yield from self._take(character)

    def tick(self) -> Iterator[Message]:
        """The events that passing time completes; call a few times a second."""
        waited = self._clock() - self._since
        if self._state is _State.ESCAPE and waited >= ESCAPE_WAIT:
            self._escaped = self._since
            yield from self._to_ground(events.Key("escape", _ESC))
        elif self._state is _State.PASTE and waited >= PASTE_WAIT:
            yield from self._to_ground(events.Paste(_printable(self._text)))
        elif self._state in (_State.SHORT, _State.STRING, _State.CLICK) and waited >= REST_WAIT:
            yield from self._to_ground()

    # --- one character ----------------------------------------------------------------------------------------------

    def _take(self, character: str) -> Iterator[Message]:
        # time may have passed without a tick, while this process was suspended
        yield from self.tick()
        paused = self._clock() - self._since >= ESCAPE_WAIT
        self._since = self._clock()
        if character == _CANCEL:
            # Ctrl+X: in every standard it ends a sequence, and here it is the stop
            yield from self._to_ground()
            yield from self._key(character)
            return
        match self._state:
            case _State.GROUND:
                yield from self._on_ground(character)
            case _State.ESCAPE:
                yield from self._behind_escape(character)
            case _State.SEQUENCE:
                yield from self._in_sequence(character)
            case _State.SHORT:
                yield from self._in_short(character)
            case _State.PASTE:
                yield from self._in_paste(character)
            case _State.STRING | _State.CLICK:
                yield from self._in_string(character, paused=paused)

    def _to_ground(self, *tokens: Message) -> Iterator[Message]:
        self._state, self._text = _State.GROUND, ""
        yield from tokens

    def _begin(self, state: _State, text: str) -> None:
        self._state, self._text = state, text
        self._escaped = float("-inf")

    def _on_ground(self, character: str) -> Iterator[Message]:
        torn = self._clock() - self._escaped < REST_WAIT
        self._escaped = float("-inf")
        if character == _ESC:
            self._begin(_State.ESCAPE, _ESC)
        elif character == "\x9b" or (torn and character == "["):
            self._begin(_State.SEQUENCE, "\x1b[")
        elif character == "\x8f" or (torn and character == "O"):
            self._begin(_State.SHORT, "\x1bO")
        else:
            yield from self._key(character)

    def _behind_escape(self, character: str) -> Iterator[Message]:
        if character == "[":
            self._begin(_State.SEQUENCE, "\x1b[")
        elif character == "O":
            self._begin(_State.SHORT, "\x1bO")
        elif character in _STRINGS:
            self._begin(_State.STRING, "")
        elif self._text == _END and character == "\\":
            yield from self._to_ground()
        elif character < " " or character == "\x7f":
            # two keys, pressed in quick succession
            yield from self._to_ground(events.Key("escape", _ESC))
            yield from self._on_ground(character)
        else:
            yield from self._to_ground()
            yield from self._key(character, alt=True)

    def _in_sequence(self, character: str) -> Iterator[Message]:
        if character <= " " or character >= "\x7f":
            # no sequence that a terminal sends holds one of these: a key has cut it off
            yield from self._to_ground()
            yield from self._on_ground(character)
            return
        self._text += character if len(self._text) < _LONGEST else ""
        nested = self._text == "\x1b[["
        if (character >= "@" and not nested) or self._text in ANSI_SEQUENCES_KEYS:
            yield from self._complete(self._text, character)

    def _in_short(self, character: str) -> Iterator[Message]:
        if character <= " " or character >= "\x7f":
            yield from self._to_ground()
            yield from self._on_ground(character)
            return
        self._text += character if len(self._text) < _LONGEST else ""
        if not character.isdigit() and character != ";":
            yield from self._complete(self._text, character)

    def _in_string(self, character: str, *, paused: bool) -> Iterator[Message]:
        if character == _ESC:
            self._begin(_State.ESCAPE, _END)
        elif character in ("\x07", "\x9c"):
            yield from self._to_ground()
        elif paused and (character in self._urgent or character == " "):
            # a person, not the report
            yield from self._to_ground()
            yield from self._key(character)
        elif self._state is _State.CLICK:
            self._text += character
            if len(self._text) == 3:
                yield from self._to_ground()

    def _in_paste(self, character: str) -> Iterator[Message]:
        self._text += character
        if self._text.endswith(_PASTED):
            yield from self._to_ground(events.Paste(_printable(self._text.removesuffix(_PASTED))))

    # --- one sequence -----------------------------------------------------------------------------------------------

    def _complete(self, sequence: str, last: str) -> Iterator[Message]:
        if sequence == _PASTE:
            self._begin(_State.PASTE, "")
            return
        if sequence == "\x1b[M":
            self._begin(_State.CLICK, "")
            return
        yield from self._to_ground()
        known = self._meaning(sequence)
        if known is not None:
            yield from known
        elif last in self._urgent:
            yield from self._key(last)
        elif not _is_report(sequence):
            yield Torn()

    def _meaning(self, sequence: str) -> list[Message] | None:
        """The events a complete sequence means; None if it means nothing."""
        if sequence == "\x1b[I":
            return [events.AppFocus()]
        if sequence == "\x1b[O":
            return [events.AppBlur()]
        if _MODE.fullmatch(sequence):
            return [messages.TerminalSupportsSynchronizedOutput()]
        if sequence.startswith("\x1b[<"):
            clicked = self._tables.parse_mouse_code(sequence)
            return [clicked] if clicked is not None else None
        keys = self._extended(sequence)
        if keys is None and sequence in ANSI_SEQUENCES_KEYS:
            keys = list(self._tables._sequence_to_key_events(sequence))
        if keys is None:
            return None
        return [key for key in keys if key.key != "<ignore>"]

    def _extended(self, sequence: str) -> list[events.Key] | None:
        """A key in kitty protocol form; else None."""
        match = _KITTY.fullmatch(sequence)
        if match is None or (match["end"] in "u~" and not match["code"]):
            return None
        if match["kind"] == _RELEASED:
            return []
        plain = f"\x1b[{match['code']};{match['modifiers'] or ''};{match['text'] or ''}{match['end']}"
        try:
            keys = self._tables._parse_extended_key(plain)
            position = chr(int(match["base"])) if match["base"] else None
        except (ValueError, OverflowError):
            # a code that is no character
            return None
        return None if keys is None else [Stroke(key.key, key.character, position) for key in keys]

    def _key(self, character: str, *, alt: bool = False) -> Iterator[Message]:
        for key in self._tables._sequence_to_key_events(character, alt=alt):
            if key.key != "<ignore>":
                yield key


def _printable(pasted: str) -> str:
    return pasted.replace("\x00", "")


def _is_report(sequence: str) -> bool:
    """Whether it is a report about the terminal or the mouse, not a key."""
    return sequence[2:3] in ("?", ">", "=", "<") or sequence[-1] in "RcntyMm"
