"""Read and search the guides while a session runs. Moves nothing, sends nothing; stop works from here.

Text and search are `station.guides.pages`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.content import Content
from textual.widgets import Footer, Input, OptionList
from textual.widgets.option_list import Option

from station.guides.pages import Guide, Hit, find, guides, search
from station.tui.screens.base import StationScreen
from station.tui.widgets.page import Page


class GuideScreen(StationScreen):
    """A list of guides or search hits, beside the page."""

    CSS_PATH = "guides.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("slash", "search", "search", key_display="/", tooltip="Find words in all guides."),
        Binding("tab", "other", "list/page", tooltip="From the list to the page, and back."),
        Binding("backspace", "before", "page before", tooltip="The page that was open before."),
        Binding("escape,q", "back", "back", key_display="esc", tooltip="Close the search, or the guides."),
        Binding("f1,question_mark", "leave", "back", show=False),
    ]

    def __init__(self, page: str) -> None:
        """`page`: the name of the guide to open first."""
        super().__init__()
        self._first = find(page)
        self._opened: list[Guide] = []
        """Pages that were opened, the newest last."""
        self._listed: Sequence[Guide | Hit] = ()

    def compose(self) -> ComposeResult:
        """Search, list beside page, keys."""
        yield Input(id="words", placeholder="words to find in all guides", compact=True)
        with Horizontal():
            yield OptionList(id="guides")
            yield Page()
        yield Footer(show_command_palette=False)

    def on_mount(self) -> None:
        """List all guides and open the first."""
        self._list(guides())
        self.open(self._first)
        self.query_one(OptionList).focus()

    def open(self, guide: Guide, anchor: str = "") -> None:
        """Show a guide, from its top or from a heading on."""
        if not self._opened or self._opened[-1] is not guide:
            self._opened.append(guide)
        self.query_one(Page).show(guide, anchor)

    def _list(self, listed: Sequence[Guide | Hit]) -> None:
        self._listed = listed
        options = self.query_one(OptionList)
        options.clear_options()
        options.add_options([Option(_words(each)) for each in listed])
        options.border_title = "guides" if listed == guides() else f"found: {len(listed)}"
        names = [each.name for each in listed if isinstance(each, Guide)]
        options.highlighted = names.index(self._first.name) if self._first.name in names else 0

    def on_option_list_option_selected(self, message: OptionList.OptionSelected) -> None:
        """Enter or a click."""
        chosen = self._listed[message.option_index]
        if isinstance(chosen, Hit):
            self.open(chosen.guide, chosen.anchor)
        else:
            self.open(chosen)
        self.query_one(Page).focus()

    def on_input_changed(self, message: Input.Changed) -> None:
        """Search while typing."""
        if message.value.strip():
            self._list(search(message.value))
        else:
            self._list(guides())

    def on_input_submitted(self) -> None:
        """On to what was found."""
        self.query_one(OptionList).focus()

    def action_search(self) -> None:
        """Open the search field."""
        self.query_one(Input).add_class("-open")
        self.query_one(Input).focus()

    def action_other(self) -> None:
        """From the list to the page, and back."""
        options, page = self.query_one(OptionList), self.query_one(Page)
        (page if self.focused is options else options).focus()

    def action_before(self) -> None:
        """Open the page that was open before."""
        if len(self._opened) > 1:
            self._opened.pop()
            self.open(self._opened.pop())

    def action_back(self) -> None:
        """Close the search, or the guides."""
        words = self.query_one(Input)
        if words.has_class("-open"):
            words.remove_class("-open")
            words.value = ""
            self.query_one(OptionList).focus()
        else:
            self.dismiss(None)

    def action_leave(self) -> None:
        """Close the guides."""
        self.dismiss(None)


def _words(listed: Guide | Hit) -> Content:
    if isinstance(listed, Hit):
        return Content.assemble((listed.guide.name, "bold"), f" {listed.heading}\n", (listed.line, "$muted"))
    return Content.assemble((listed.name, "bold"), "\n", (listed.summary, "$muted"))
