"""What the keys do and what the panels show."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.screen import Screen
from textual.widgets import Static

from station.tui.actions import ACTIONS, Group
from station.tui.keymap import Keymap, config_path
from station.tui.pads import PadLine
from station.tui.screens.dialog import Dialog

PANELS: tuple[tuple[str, str], ...] = (
    (
        "headline",
        "the state, what to do now, and at the right whether your last key was taken (…) and acknowledged (✓)",
    ),
    (
        "last episodes",
        "newest at the right: S success, F failure, T timeout, V void, ? pending; lower case: evaluation",
    ),
    ("success", "rolling rate, base and evaluation points on one scale, ├──●──┤ is the 95% interval"),
    ("curves", "green: rolling success; level line: base; ◆ with a bar: evaluation with its interval"),
    (
        "steering",
        "RMS ratio: how far the learner moves the latent, against the latent's own size; Q, losses, alpha",
    ),
    (
        "health",
        "live: achieved control rate, age of each frame, disk left, memory; ! marks what is out of order",
    ),
    ("time", "M moving, W waiting for a reset, L labelling, U updating, and how long is left to the goal"),
)


class HelpScreen(Dialog[None]):
    """The action table in words."""

    DEFAULT_CSS = """
    HelpScreen > .box { width: 96; height: 90%; }
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("question_mark", "cancel", "close", show=False),
        Binding("g", "app.guides", "guides", show=False),
        Binding("q", "cancel", "close", show=False),
    ]

    def __init__(self, keymap: Keymap, pads: Sequence[PadLine] = ()) -> None:
        """`keymap` gives the keys that are in force, `pads` the other devices that have keys."""
        super().__init__()
        self._keymap = keymap
        self._pads = pads

    def compose(self) -> ComposeResult:
        """Keys by group, then the panels."""
        with VerticalScroll(classes="box") as box:
            box.border_title = "Help"
            box.border_subtitle = "g opens the guides, Escape closes"
            for group in Group:
                yield Static(self._keys(group))
            if self._pads:
                yield Static(_devices(self._pads, _room(self)))
            yield Static(_panels(_room(self)))
            yield Static(_remarks())

    def _keys(self, group: Group) -> Content:
        lines: list[Content] = [Content.styled(group.value, "$primary bold")]
        for action in ACTIONS:
            if action.group is group:
                key = self._keymap.show_all(action.id)
                lines.append(_entry(key or "none", f"{action.label}: {action.help}", 7, _room(self)))
        return Content("\n").join([*lines, Content("")])


class KeysHelp(Dialog[None]):
    """The keys of one screen in words."""

    DEFAULT_CSS = """
    KeysHelp > .box { width: 96; height: auto; max-height: 95%; padding: 0 3; }
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("question_mark", "cancel", "close", show=False),
        Binding("g", "app.guides", "guides", show=False),
        Binding("q", "cancel", "close", show=False),
    ]

    def __init__(self, title: str, keys: Sequence[tuple[str, str]], remarks: str) -> None:
        """`keys` are what an operator presses and what it does there."""
        super().__init__()
        self._title = title
        self._keys = keys
        self._remarks = remarks

    def compose(self) -> ComposeResult:
        """Keys, then remarks."""
        with VerticalScroll(classes="box") as box:
            box.border_title = f"{self._title}: keys"
            box.border_subtitle = "g opens the guides, Escape closes"
            lines = [_entry(*each, 15, _room(self)) for each in self._keys]
            yield Static(Content("\n").join([*lines, Content("")]))
            yield Static(Content.styled(self._remarks, "$muted"))


def keys_of(screen: Screen[None]) -> list[tuple[str, str]]:
    """What is pressed on a screen and what it does there, in the order of its bindings."""
    bindings = [each for each in screen.BINDINGS if isinstance(each, Binding)]
    keys: dict[str, list[str]] = {each.tooltip: [] for each in bindings}
    for active in screen.active_bindings.values():
        shown = keys.setdefault(active.binding.tooltip, [])
        key = screen.app.get_key_display(active.binding)
        shown += [key] if key not in shown else []
    for each in bindings:
        # what is not offered at this moment; with an id, it may have been unmapped
        if not keys[each.tooltip] and each.id is None:
            keys[each.tooltip] = [screen.app.get_key_display(each)]
    return [(" ".join(shown), tip) for tip, shown in keys.items() if tip and shown]


def _room(screen: Dialog[None]) -> int:
    """Columns of text inside the box."""
    return min(96, int(0.95 * screen.app.size.width)) - 14


def _entry(head: str, words: str, width: int, room: int) -> Content:
    first, *more = textwrap.wrap(words, room - width - 2)
    hanging = "".join(f"\n{' ' * (width + 2)}{line}" for line in more)
    return Content.assemble((f"{head:>{width}}  ", "bold"), (first + hanging, "$muted"))


def _devices(pads: Sequence[PadLine], room: int) -> Content:
    lines = [Content.styled("Pedals and hotkeys", "$primary bold")]
    for pad in pads:
        lines.append(Content.assemble((pad.name, "bold")))
        lines.append(_entry("", pad.keys, 3, room))
        if pad.trouble:
            lines.append(Content.styled(f"     {pad.trouble}", "$warning"))
    return Content("\n").join([*lines, Content("")])


def _panels(room: int) -> Content:
    lines = [
        Content.styled("Panels", "$primary bold"),
        *(_entry(name, words, 13, room) for name, words in PANELS),
    ]
    return Content("\n").join([*lines, Content("")])


def _remarks() -> Content:
    return Content.assemble(
        ("Remarks\n", "$primary bold"),
        (
            "A label always goes to the episode that stood on the screen when the key went down.\n"
            "Holding a key counts once. The software stop replaces no hardware emergency stop.\n"
            "Ctrl+X and Ctrl+C stop in every layout of the keyboard, and capitals are their letters.\n"
            f"Other keys: lines like success = 'j' or success = ['j', 'f5'] below [keys] in\n{config_path()}",
            "$muted",
        ),
    )
