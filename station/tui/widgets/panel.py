"""A titled panel that draws a model as text, redrawn only when the model or its size changes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from textual.content import Content
from textual.geometry import Size

from station.tui.widgets.measured import Measured

Model = TypeVar("Model")
Draw = Callable[[Model, int, int], Content]
"""(model, columns, rows) -> text"""


class Panel(Measured, Generic[Model]):
    """Shows the newest model as drawn by `draw`."""

    DEFAULT_CSS = """
    Panel { height: auto; width: 1fr; text-wrap: nowrap; text-overflow: ellipsis; }
    """

    def __init__(self, title: str, draw: Draw[Model], *, id: str | None = None) -> None:
        """`title` is shown in the upper border; `id` is its name in the style sheet."""
        super().__init__(id=id)
        self.border_title = Content(title)
        self._draw = draw
        self._model: Model | None = None

    def show(self, model: Model) -> None:
        """Show this model."""
        if model != self._model:
            self._model = model
            self.refresh(layout=self.styles.is_auto_height)

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        """See Widget: the lines that the model takes at this width."""
        if self._model is None:
            return 1
        return self._draw(self._model, width, self.size.height).plain.count("\n") + 1

    def render(self) -> Content:
        """See Widget."""
        if self._model is None:
            return Content("")
        return self._draw(self._model, self.size.width, self.size.height)
