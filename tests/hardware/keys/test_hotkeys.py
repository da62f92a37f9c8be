from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from hardware.keys.hotkeys import Hotkeys, HotkeySyntaxError, parts, warning, without_display
from hardware.keys.interface import KeySourceError
from tests.hardware.keys.conftest import HOTKEYS

pytestmark = pytest.mark.realtime

ROOT = Path(__file__).parents[3]

HEAR = """
import json
from Xlib import X, XK, display
from Xlib.ext import xtest
from hardware.keys.hotkeys import Hotkeys

source = Hotkeys(["<ctrl>+<alt>+s", "<f9>", "<f8>"])
answer = source.open()
server = display.Display()

def type_together(*names):
    codes = [server.keysym_to_keycode(XK.string_to_keysym(name)) for name in names]
    for change, order in ((X.KeyPress, codes), (X.KeyRelease, codes[::-1])):
        for code in order:
            xtest.fake_input(server, change, code)
    server.sync()

# pynput calls itself ready a moment before the X server hands it keys
for _ in range(60):
    type_together("F8")
    if source.read(0.5) is not None:
        break
while source.read(0.5) is not None:
    pass
type_together("Control_L", "Alt_L", "s")
type_together("s")
type_together("F9")
heard = [source.read(10.0), source.read(10.0), source.read(0.3)]
print(json.dumps([answer, [press and press.key for press in heard]]))
source.close()
"""
"""Typed at the X server itself, as a keyboard would."""


def test_hotkeys_are_heard_whatever_window_has_the_focus(display: str) -> None:
    pytest.importorskip("evdev", reason=f"pynput is missing: {HOTKEYS}")
    done = subprocess.run(
        [sys.executable, "-c", HEAR],
        cwd=ROOT,
        env={"DISPLAY": display, "PATH": "/usr/bin:/bin", "HOME": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [f"X server {display}", ["<ctrl>+<alt>+s", "<f9>", None]]


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({}, "there is no X server here"),
        ({"WAYLAND_DISPLAY": "wayland-0"}, "Wayland does not pass other windows' keys to a program"),
    ],
)
def test_without_a_display_it_says_what_works_instead_of_dying(
    environment: dict[str, str], said: str
) -> None:
    with pytest.raises(KeySourceError, match=said):
        Hotkeys(["<f9>"], environment).open()
    assert "foot pedal" in without_display(environment)


def test_a_display_that_does_not_answer_is_a_sentence() -> None:
    pytest.importorskip("evdev", reason=f"pynput is missing: {HOTKEYS}")
    program = (
        "from hardware.keys.hotkeys import Hotkeys\n"
        "try:\n    Hotkeys(['<f9>']).open()\nexcept Exception as error:\n    print(type(error).__name__, error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env={"DISPLAY": ":4242", "PATH": "/usr/bin:/bin", "HOME": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.stdout.startswith("KeySourceError hotkeys: the X server at DISPLAY=:4242 does not answer")


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"DISPLAY": ":0"}, ""),
        ({"DISPLAY": ":0", "XDG_SESSION_TYPE": "wayland"}, "on Wayland"),
        ({"DISPLAY": "localhost:10", "SSH_CONNECTION": "a b c d"}, "over SSH"),
    ],
)
def test_half_a_display_is_warned_of(environment: dict[str, str], said: str) -> None:
    assert warning(environment).startswith(said)
    assert not without_display(environment)


@pytest.mark.parametrize("combination", ["<ctrl>+<alt>+s", "<F9>", "<ctrl>++", "<cmd>+<space>", "<pause>"])
def test_combinations_that_nobody_types_by_chance_are_taken(combination: str) -> None:
    assert parts(combination)


@pytest.mark.parametrize(
    ("combination", "said"),
    [
        ("s", "would fire whenever somebody types it"),
        ("<shift>+s", "would fire whenever somebody types it"),
        ("<space>", "would fire whenever somebody types it"),
        ("<ctlr>+s", "Did you mean '<ctrl>'"),
        ("ctrl+s", "Did you mean '<ctrl>'"),
        ("<ctrl>+<ctrl>+s", "names a key twice"),
        ("<ctrl>+<alt>", "holds modifiers only"),
        ("", "is not a key"),
    ],
)
def test_other_combinations_are_refused_with_the_remedy(combination: str, said: str) -> None:
    with pytest.raises(HotkeySyntaxError, match=said):
        parts(combination)
