"""Missing rows of a column: lost, or skipped by a writer because they hold only the fill value.

Array libraries read both alike, mostly as zeros, and an all-zero pose looks like data. So we ask about the columns in
use; if the file itself proves that its writer skips nothing, the episode is refused.
"""

from __future__ import annotations

from collections.abc import Iterator

from datasets.importers.defects import Defect, Note, Question, RefusedError, warning
from datasets.importers.interface import RawEpisode, Unstored
from datasets.importers.map.columns import key_of
from datasets.importers.mapping import ActionKind, Arm, Mapping
from datasets.spec import DataSpec


def questions_of_gaps(raw: RawEpisode, mapping: Mapping, spec: DataSpec) -> Iterator[Question]:
    """Ask whether missing rows of the columns in use were skipped or lost, if still unknown.

    Raises:
        RefusedError: they were lost.
    """
    for gap in _in_use(raw, mapping, spec):
        if gap.is_lost:
            text = f"{gap.where}, and this column's writer left out no chunk of {gap.fill}; copy it again"
            raise RefusedError(Defect.MISSING_MEMBER, text)
        if mapping.unstored == "lost":
            raise RefusedError(Defect.MISSING_MEMBER, f"{gap.where}; copy it again")
        if mapping.unstored is None:
            yield Question(
                name="unstored",
                text=f"{gap.where} and would be read as {gap.fill}: a file was lost, or the writer left out what holds "
                f"nothing but {gap.fill}{f' ({gap.evidence})' if gap.evidence else ''}",
                choices=("lost", "fill"),
            )


def notes_on_gaps(raw: RawEpisode, mapping: Mapping, spec: DataSpec) -> list[Note]:
    """A warning for each column in use that is filled because a person said so."""
    return [
        warning(Defect.MISSING_MEMBER, f"{gap.where}; taken as {gap.fill}, as was answered")
        for gap in _in_use(raw, mapping, spec)
    ]


def _in_use(raw: RawEpisode, mapping: Mapping, spec: DataSpec) -> list[Unstored]:
    if not raw.unstored:
        return []
    arms = mapping.arms[: spec.action.arms]
    keys = dict.fromkeys(key_of(selector) for arm in arms for selector in _selectors(arm, mapping, spec))
    return [raw.unstored[key] for key in keys if key in raw.unstored]


def _selectors(arm: Arm, mapping: Mapping, spec: DataSpec) -> list[str]:
    """Columns that are read, and those used to check commands."""
    told, seen = arm.commanded, arm.observed
    found = [seen.position, seen.rotation, None if spec.observes_pose and seen.position else seen.joints]
    if any("gripper" in name for name in spec.proprioception) or mapping.actions is ActionKind.ACHIEVED:
        found.append(seen.gripper)
    if mapping.actions is not ActionKind.ACHIEVED:
        found += [told.position, told.rotation, told.joints, told.gripper]
    return [selector for selector in found if selector is not None]
