"""Wording of messages: counts of things, and suggestions for unknown names."""

import difflib
from collections.abc import Collection


def counted(number: int, noun: str) -> str:
    """``1 episode``, ``2 episodes``, ``0 recordings``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def did_you_mean(word: str, known: Collection[str], otherwise: str = "", alike: float = 0.6) -> str:
    """``Did you mean 'success'?`` if a known word resembles `word`, else `otherwise`; `alike` is difflib's cutoff."""
    near = difflib.get_close_matches(word, known, n=1, cutoff=alike)
    return f"Did you mean '{near[0]}'?" if near else otherwise
