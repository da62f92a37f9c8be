from __future__ import annotations

import pytest
from textual import events
from textual.message import Message

from station.tui.keystrokes import ESCAPE_WAIT, Keystrokes, Stroke, Torn

CTRL_R, MOUSE, FUNCTION_KEY = "\x1b[114;5u", "\x1b[<35;12;40M", "\x1b[15~"


class Line:
    """A terminal behind a slow line, with a clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = 100.0
        self.keystrokes = Keystrokes(clock=lambda: self.now)
        self.heard: list[Message] = []

    def send(self, text: str) -> Line:
        self.heard += self.keystrokes.feed(text)
        return self

    def wait(self, seconds: float) -> Line:
        self.now += seconds
        self.heard += self.keystrokes.tick()
        return self

    @property
    def keys(self) -> list[str]:
        return [event.key for event in self.heard if isinstance(event, events.Key)]


@pytest.mark.parametrize("pause", [0.0, 0.4, 2.0, 20.0])
@pytest.mark.parametrize(
    ("sequence", "key"),
    [(CTRL_R, "ctrl+r"), (FUNCTION_KEY, "f5"), ("\x1b[A", "up"), ("\x1bOS", "f4"), ("\x1b[117;;117u", "u")],
)
def test_a_key_that_is_cut_anywhere_stays_the_one_key(sequence: str, key: str, pause: float) -> None:
    for cut in range(1, len(sequence)):
        line = Line().send(sequence[:cut]).wait(pause).send(sequence[cut:]).wait(60.0)
        alone = [each for each in line.keys if each != "escape"]
        assert alone == [key], f"cut after {sequence[:cut]!r}"
        assert ("escape" in line.keys) == (cut == 1 and pause >= ESCAPE_WAIT)


@pytest.mark.parametrize("pause", [0.4, 2.0])
def test_a_mouse_report_that_is_cut_anywhere_gives_no_key(pause: float) -> None:
    for cut in range(1, len(MOUSE)):
        line = Line().send(MOUSE[:cut]).wait(pause).send(MOUSE[cut:]).wait(60.0)
        assert set(line.keys) <= {"escape"}, f"cut after {MOUSE[:cut]!r}"


def test_a_mouse_report_of_an_old_terminal_gives_no_key_whatever_its_numbers_spell() -> None:
    """Button, column and row follow as one character each."""
    assert Line().send("\x1b[M sx").keys == []


@pytest.mark.parametrize("rest", ["114;5", "<35;12;", "11", ""])
def test_what_is_never_completed_gives_no_key_and_loses_no_stop(rest: str) -> None:
    for stop in ("x", "X", "\x18"):
        line = Line().send("\x1b[" + rest).wait(45.0)
        assert line.keys == []
        assert line.send(stop).keys[-1] in ("x", "X", "ctrl+x")


def test_a_key_that_came_in_pieces_is_told_of_as_such() -> None:
    line = Line().send("\x1b[11").wait(3.0).send("s")
    assert line.keys == [] and [type(event) for event in line.heard] == [Torn]


def test_a_single_escape_is_the_escape_key_after_a_moment() -> None:
    line = Line().send("\x1b").wait(ESCAPE_WAIT / 2)
    assert line.keys == []
    assert line.wait(ESCAPE_WAIT).send("s").keys == ["escape", "s"]


def test_escape_and_a_key_in_quick_succession_are_no_label_but_may_be_a_stop() -> None:
    assert Line().send("\x1bs").keys == ["alt+s"]
    assert Line().send("\x1b\x18").keys == ["ctrl+x"]


def test_an_answer_of_the_terminal_to_somebody_else_gives_no_key() -> None:
    colour, version = "\x1b]11;rgb:1e1e/1e1e/1e1e\x1b\\", "\x1bP>|XTerm(388)\x1b\\"
    line = Line().send(colour + version + "\x1b[?62;4c\x1b[24;80R").wait(60.0)
    assert line.heard == []
    assert line.send("s").keys == ["s"]


def test_a_stop_is_heard_through_an_answer_that_never_ends() -> None:
    assert Line().send("\x1b]11;rgb:1e").wait(2.0).send("x").keys == ["x"]


def test_pasted_text_is_no_key_wherever_it_is_cut() -> None:
    text = "\x1b[200~success x\r\x1b[201~"
    for cut in range(1, len(text)):
        line = Line().send(text[:cut]).wait(0.4).send(text[cut:])
        assert line.keys == []
        assert [event.text for event in line.heard if isinstance(event, events.Paste)] == ["success x\r"]


def test_keys_are_heard_again_after_a_paste_whose_end_was_lost() -> None:
    line = Line().send("\x1b[200~suc").wait(6.0).send("x")
    assert line.keys == ["x"]


def test_ctrl_x_is_heard_in_the_middle_of_everything() -> None:
    for begun in ("\x1b", "\x1b[", "\x1b[1;", "\x1bO", "\x1b]11;", "\x1b[200~abc", "\x1b[Ma"):
        assert Line().send(begun).send("\x18").keys[-1:] == ["ctrl+x"], repr(begun)


def test_the_terminal_tells_where_a_key_lies() -> None:
    (key,) = Line().send("\x1b[1095::120;;1095u").heard
    assert isinstance(key, Stroke) and (key.key, key.position) == ("ч", "x")
    (held,) = Line().send("\x1b[1095::120;5u").heard
    assert isinstance(held, Stroke) and (held.key, held.position) == ("ctrl+ч", "x")


def test_caps_lock_and_the_release_of_a_key_are_no_other_key() -> None:
    assert Line().send("\x1b[120;65;88u\x1b[120;1:3u").keys == ["X"]


@pytest.mark.parametrize(
    "broken", ["\x1b[99999999u", "\x1b[115:::;;u", "\x1b[;;u", "\x1b[1;1;9999999999u", "\ufffd"]
)
def test_no_sequence_ends_the_thread_that_hears_the_stop(broken: str) -> None:
    assert Line().send(broken + "x").keys[-1] == "x"
