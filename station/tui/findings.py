"""A preview of recordings, for people: a table row each, and one sentence on what an import would do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from datasets.importers.defects import AGAIN
from datasets.wording import counted
from station.plain import visible
from station.tui.jobs import Facts

LONGEST = 30
"""Characters of a recording's name in the table, from its end."""


@dataclass(frozen=True, kw_only=True)
class ImportPreview:
    """What an import would do with the findings."""

    total: int
    known: int
    """Already imported; nothing would be done."""
    usable: int
    """Would be imported."""
    replacing: int
    """Of these, those that replace earlier imports."""
    replaced: int
    """Earlier imports that would be voided."""

    @classmethod
    def of(cls, findings: Sequence[Facts]) -> Self:
        """Counted."""
        known = sum(bool(fact.get("duplicate")) for fact in findings)
        return cls(
            total=len(findings),
            known=known,
            usable=sum(bool(fact.get("usable")) for fact in findings) - known,
            replacing=sum(bool(fact.get("replaces")) for fact in findings),
            replaced=len({name for fact in findings for name in fact.get("replaces", ())}),
        )

    def sentence(self, *, again: bool) -> str:
        """One sentence with the key to press; `again`: earlier imports were examined too."""
        words = f"Usable: {self.usable} of {counted(self.total, 'recording')}"
        if self.replacing:
            words += f", {self.replacing} replacing earlier imports"
        if self.known:
            same = "unchanged" if again else "imported before"
            words += f", {same}: {self.known}"
        if self.usable:
            return f"{words}. ^o imports; nothing is written before."
        return f"{words}. Nothing to do." if again else f"{words}. ^n looks at them again."


def row(facts: Facts, root: Path) -> tuple[str, ...]:
    """A table row, with the recording's path relative to the selection."""
    label = {True: "success", False: "failure", None: "none"}[facts.get("success")]
    return (
        _sign(facts),
        _short(visible(below(facts["file"], root))),
        str(facts.get("steps", "")),
        f"{facts.get('seconds', 0):.1f}",
        label if facts["usable"] else "",
        visible(str(facts["detail"])).replace(AGAIN, "press ^n"),
    )


def below(label: str, root: Path) -> str:
    """A path without the common prefix."""
    path = Path(label)
    return str(path.relative_to(root)) if root in path.parents else path.name


def _short(name: str) -> str:
    return name if len(name) <= LONGEST else f"…{name[1 - LONGEST :]}"


def _sign(facts: Facts) -> str:
    if facts.get("duplicate"):
        return "="
    if facts.get("replaces"):
        return "~"
    return "✓" if facts["usable"] else "✗"
