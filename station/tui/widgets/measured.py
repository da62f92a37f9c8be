"""Widgets as high as their text, even on a busy screen."""

from __future__ import annotations

from typing import Self

from textual.geometry import Region
from textual.widget import Widget
from textual.widgets import Static


class Measured(Widget):
    """Remeasures its height at every layout after a change.

    Textual caches a height by the number of a widget's changes, and counts a change only once between two idle
    moments of the widget. A busy screen laid out in between would keep the height of the old text, and
    the last lines of the new text would be hidden.
    """

    def refresh(
        self, *regions: Region, repaint: bool = True, layout: bool = False, recompose: bool = False
    ) -> Self:
        """See Widget."""
        if layout:
            self._box_model_cache.clear()
        return super().refresh(*regions, repaint=repaint, layout=layout, recompose=recompose)


class Words(Measured, Static):
    """Sentences that change."""
