"""A running job: its stages as bars, its loss curves, its newest words."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from textual.content import Content
from textual_plot import HiResMode

from station.tui.jobs import Record, Stage
from station.tui.widgets.curves import Plot, ticks
from station.tui.widgets.figures import bar
from station.tui.wording import about, figure

WORDS: dict[str, str] = {
    "record": "demonstrator records",
    "inspect": "looking at recordings",
    "import": "importing recordings",
    "base": "training the base",
    "joint": "training the base",
    "embeddings": "embedding images",
    "bottleneck": "fitting the bottleneck",
    "evaluate latent": "judging, latent path",
    "evaluate raw": "judging, raw path",
}
"""Stage -> what it does."""


def stage_words(stage: Stage) -> str:
    """What a stage does, in words."""
    return WORDS.get(stage.name, stage.name)


def draw_stages(stages: tuple[Stage, ...], columns: int, rows: int) -> Content:
    """One line a stage, in the order in which they began."""
    if not stages:
        return Content.styled("starting", "$muted")
    return Content("\n").join([_stage(stage, columns) for stage in stages[-max(1, rows) :]])


def _stage(stage: Stage, columns: int) -> Content:
    over = stage.share >= 1
    sign = ("✓ ", "$success bold") if over else ("▸ ", "$primary bold")
    tail = f" {stage.done:>6}/{stage.total:<6} " + ("done" if over else about(stage.eta) if stage.eta else "")
    figures = "  ".join(f"{name.replace('_', '-')} {figure(value)}" for name, value in stage.figures.items())
    width = max(6, columns - 2 - 23 - 32 - 36)
    return Content.assemble(
        sign,
        f"{stage_words(stage):<23}",
        (bar(stage.share, width), "$success" if over else "$primary"),
        f"{tail:<32}",
        (figures, "$muted"),
    )


@dataclass(frozen=True, kw_only=True)
class Losses:
    """What the loss curve shows."""

    stage: str
    training: tuple[tuple[float, float], ...]
    held_out: tuple[tuple[float, float], ...]


def losses_of(record: Record) -> Losses | None:
    """The newest stage that has a loss."""
    named = [name for name in record.stages if name in record.losses]
    if not named:
        return None
    name = named[-1]
    return Losses(
        stage=name, training=tuple(record.losses[name]), held_out=tuple(record.held_out.get(name, ()))
    )


class LossCurve(Plot):
    """Training loss (line) and held-out loss (diamonds) of one stage, on a logarithmic scale."""

    def __init__(self, *, id: str | None = None) -> None:
        """Empty until the first loss."""
        super().__init__("loss", id=id)
        self._losses: Losses | None = None

    def show(self, losses: Losses | None) -> None:
        """Draw these if they changed."""
        if losses == self._losses or losses is None:
            return
        self._losses = losses
        self.border_title = (
            f"loss, {WORDS.get(losses.stage, losses.stage)} · line: training · ◆ held out · log10"
        )
        self.redraw()

    def redraw(self) -> None:
        """See Plot."""
        losses = self._losses
        if losses is None or not self.is_mounted or len(losses.training) < 2:
            return
        self.clear()
        self.set_yticks(None)
        x, y = _logarithmic(losses.training)
        self.set_xlimits(0, float(x.max()) * 1.03)
        self.set_xticks(ticks(float(x.max()), at_most=max(2, self.size.width // 14)))
        self.plot(x, y, line_style=self.color("primary"), hires_mode=HiResMode.BRAILLE)
        if losses.held_out:
            x, y = _logarithmic(losses.held_out)
            self.scatter(x, y, marker="◆", marker_style=self.color("warning"))


def _logarithmic(points: tuple[tuple[float, float], ...]) -> tuple[np.ndarray, np.ndarray]:
    data = np.asarray(points, dtype=np.float64)
    return data[:, 0], np.log10(np.maximum(data[:, 1], 1e-12))
