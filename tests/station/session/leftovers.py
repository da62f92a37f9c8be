"""What a session keeps of episodes that were cut off, as tests look at it."""

from __future__ import annotations

from typing import Any

from datasets.journal.journal import Journal
from datasets.journal.records import EpisodeCutOff
from station.review.catalogue import Catalogue
from station.review.take import Take
from station.session.folder import SessionFolder


def cut_off(folder: SessionFolder) -> dict[str, dict[str, Any]]:
    """Episode -> the journal's line: steps, lost, reason."""
    lines = Journal(folder.journal).ledger().lines_of(EpisodeCutOff)
    return {line.record.episode: line.record.to_fields() for line in lines}


def reviewed(folder: SessionFolder) -> dict[str, Take]:
    """Episode -> what can be reviewed of it; `frames` are its steps."""
    catalogue = Catalogue(folder)
    return {item.id: catalogue.load(item) for item in catalogue.items() if item.verdict == "partial"}


def kept(folder: SessionFolder) -> dict[str, int]:
    """Episode -> how many of its steps can be reviewed, none of them behind a hole."""
    takes = reviewed(folder)
    assert not any(take.trouble for take in takes.values())
    return {name: take.frames for name, take in takes.items()}
