"""The footer: every action of the table with its key, in two rows; a click does what the key does."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.message import Message
from textual.widgets import Static

from station.tui.actions import ACTIONS, Action, Group
from station.tui.keymap import Keymap


class KeyChip(Static):
    """One key and what it does."""

    class Pressed(Message):
        """The chip was clicked."""

        def __init__(self, action: str) -> None:
            """`action` is the id in the table."""
            super().__init__()
            self.action = action

    DEFAULT_CSS = """
    KeyChip { width: auto; height: 1; padding: 0 1; text-wrap: nowrap; }
    KeyChip:hover { background: $panel; }
    """

    def __init__(self, action: Action, keymap: Keymap) -> None:
        """An action without a key shows only its label."""
        words = Content.assemble((keymap.show(action.id), "$primary bold"), " ", (action.label, "$muted"))
        super().__init__(words)
        self.tooltip = action.help
        self._action = action.id

    def on_click(self) -> None:
        """Same as the key."""
        self.post_message(self.Pressed(self._action))


class KeyBar(Vertical):
    """All keys: episode and arm above, session below."""

    DEFAULT_CSS = """
    KeyBar { height: 2; dock: bottom; background: $surface; }
    KeyBar Horizontal { height: 1; }
    """

    can_focus = False

    def __init__(self, keymap: Keymap) -> None:
        """`keymap` gives the keys to show."""
        super().__init__()
        self._keymap = keymap

    def compose(self) -> ComposeResult:
        """Two rows of chips."""
        with Horizontal():
            yield from self._chips(Group.EPISODE, Group.MOTION)
        with Horizontal():
            yield from self._chips(Group.SESSION)

    def _chips(self, *groups: Group) -> list[KeyChip]:
        return [KeyChip(action, self._keymap) for action in ACTIONS if action.group in groups]
