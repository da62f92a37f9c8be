"""How foreign demonstrations are read: the mapping as a list, the first image in both channel orders.

Shows what the import command reports; asks and decides nothing.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

import numpy as np
from textual.app import ComposeResult
from textual.containers import Horizontal, VerticalScroll
from textual.content import Content

from datasets.observation import Image
from station.plain import visible
from station.tui.widgets.measured import Words
from station.tui.widgets.tile import CameraTile

Facts = dict[str, Any]

_STYLES = {"proposed": "$muted", "given": "$success", "saved": "$success"}


class Understanding(Horizontal):
    """Hidden until there is something to show."""

    DEFAULT_CSS = """
    Understanding { height: 12; display: none; }
    Understanding #entries { width: 1fr; }
    Understanding CameraTile { width: 26; border: round $border; }
    """

    def compose(self) -> ComposeResult:
        """The list, and one tile per channel order."""
        with VerticalScroll(id="entries"):
            yield Words("", id="mapping")
        yield CameraTile("rgb")
        yield CameraTile("bgr")

    def show(self, facts: Facts | None) -> None:
        """Show the ``mapping`` event `facts`; None hides everything."""
        self.display = facts is not None
        if facts is None:
            return
        self.query_one("#mapping", Words).update(Content("\n").join(_lines(facts)))
        camera, image = _first(facts)
        for tile in self.query(CameraTile):
            order = tile.camera
            tile.show(None if image is None else image if order == "rgb" else image[..., ::-1])
            tile.border_title = Content(f"{order} · {camera}")


def _lines(facts: Facts) -> Iterator[Content]:
    yield Content.assemble((f"{facts['format']} sources are read as follows", "bold"))
    width = max((len(entry["name"]) for entry in facts["entries"]), default=0)
    for entry in facts["entries"]:
        style = _STYLES.get(entry["origin"], "$muted")
        yield Content.assemble(
            (f"{visible(entry['name']):<{width}}  ", "$muted"),
            visible(entry["value"]),
            (f"  {entry['origin']}", style),
        )
    for question in facts["questions"]:
        yield Content.assemble((visible(f"? {question['text']}"), "$warning"))
    if facts["questions"]:
        columns = ", ".join(f"{name} [{count}]" for name, count in facts["columns"].items())
        yield Content.assemble(("its columns: ", "$muted"), visible(columns))


def _first(facts: Facts) -> tuple[str, Image | None]:
    """The first camera and its image as stored in the source."""
    for camera, image in facts["images"].items():
        pixels = np.frombuffer(base64.b64decode(image["pixels"]), np.uint8)
        return camera, np.ascontiguousarray(pixels.reshape(image["height"], image["width"], 3))
    return "no image", None
