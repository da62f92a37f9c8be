"""Schema of a journal's lines: the fields that readers rely on, and their valid values.

A checksum proves that a line is intact; this module checks, once for every reader, that it makes sense. Operations and
fields not listed here belong to their writers, and a later version may add more of both.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

_MOST = 2**53
"""Largest valid counter: integers up to here are exact in float64."""
_LATEST = 253_402_214_400.0
"""s since 1970: the last day of the year 9999, beyond which Python has no dates."""
_SIZES = 2**20
"""Upper limit of counts for which memory is allocated (episodes, blocks, layouts)."""

Check = Callable[[Any], bool]


def is_text(value: Any) -> bool:
    """Any text."""
    return isinstance(value, str)


def is_number(value: Any) -> bool:
    """A finite number, not a bool."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def is_whole(value: Any) -> bool:
    """An integer (not a bool) of plausible magnitude."""
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) <= _MOST


def is_count(value: Any) -> bool:
    """A non-negative integer small enough to allocate for."""
    return is_whole(value) and 0 <= value <= _SIZES


def is_time(value: Any) -> bool:
    """Seconds since 1970 that form a valid date."""
    return is_number(value) and 0 <= value < _LATEST


def is_table(value: Any) -> bool:
    """A dictionary."""
    return isinstance(value, dict)


def _list_of(check: Check) -> Check:
    return lambda value: isinstance(value, list) and all(map(check, value))


def _or_none(check: Check) -> Check:
    return lambda value: value is None or check(value)


def _anything(_: Any) -> bool:
    return True


def _truth(value: Any) -> bool:
    return isinstance(value, bool)


def _verdict(value: Any) -> bool:
    return value in (0, 1)


def _spent(value: Any) -> bool:
    return is_table(value) and all(map(is_number, value.values()))


def _devices(value: Any) -> bool:
    return is_table(value) and all(map(is_table, value.values()))


NEEDED: Mapping[str, Mapping[str, Check]] = MappingProxyType(
    {
        "episode": {
            "id": is_text,
            "kind": is_text,
            "ordinal": is_whole,
            "steps": is_count,
            "chunks": is_count,
            "ending": is_text,
            "policy_version": is_whole,
        },
        "label": {"episode": is_text, "outcome": _or_none(is_text), "by": is_text},
        "void": {"episode": is_text, "by": is_text},
        "restore": {"episode": is_text, "by": is_text},
        "prune": {"episodes": _list_of(is_text), "by": is_text},
        "import": {"fingerprint": is_text, "episode": _or_none(is_text)},
        "devices": {"devices": _devices, "accepted": _truth},
        "limit": {"name": is_text, "value": _anything},
        "training": {
            "demos": is_text,
            "base_hash": is_text,
            "episodes": is_count,
            "stages": _list_of(is_table),
            "seconds": is_number,
        },
        "base_evaluation": {"path": is_text, "n": is_count, "outcomes": _list_of(_verdict)},
        "phase": {"phase": is_text},
        "cut_off": {"episode": is_text, "steps": is_count, "reason": is_text},
        "update": {"ordinal": is_whole, "through": is_whole, "steps": is_count},
        "checkpoint": {"update": is_whole, "policy_version": is_whole, "steps": is_whole},
        "evaluation": {"stage": is_text},
        "setting": {"name": is_text, "value": _anything},
        "note": {},
        "stop": {},
        "rearm": {},
        "fault": {},
        "session": {},
    }
)
"""op -> its required fields, each with its check."""
BESIDE: Mapping[str, Mapping[str, Check]] = MappingProxyType(
    {
        "episode": {"block": _or_none(is_count)},
        "phase": {
            "spent": _spent,
            "kind": is_text,
            "first": is_whole,
            "layout": is_whole,
            "size": is_count,
            "batch": is_count,
        },
        "evaluation": {
            "ordinal": is_count,
            "first": is_whole,
            "n": is_count,
            "at": is_whole,
            "env_steps": is_whole,
            "policy_version": is_whole,
            "done": is_count,
        },
        "note": {"episode": is_text},
    }
)
"""op -> its optional fields, each with its check."""
_TOGETHER = {
    "asked": ("n",),
    "begin": ("ordinal", "first", "n", "at"),
    "end": ("ordinal", "env_steps", "policy_version", "n"),
    "ending": ("ordinal",),
}
"""Stage of an evaluation -> the fields it requires."""
_ROUND = ("kind", "first", "layout", "size", "batch")


def require_form(op: Any, time: Any, fields: Any) -> None:
    """Raises ValueError, naming the field, when a line is malformed."""
    if not is_text(op) or not is_table(fields):
        raise ValueError("it has no operation or no fields")
    if not is_time(time):
        raise ValueError(f"its time {str(time)[:40]!r} is not a date")
    needed = NEEDED.get(op, {})
    for name in (*needed, *_gone_with(op, fields)):
        if name not in fields:
            raise ValueError(f"its '{name}' is missing")
    for checks in (needed, BESIDE.get(op, {})):
        for name, check in checks.items():
            if name in fields and not check(fields[name]):
                raise ValueError(f"its '{name}' cannot be {str(fields[name])[:40]!r}")


def _gone_with(op: str, fields: Mapping[str, Any]) -> tuple[str, ...]:
    if op == "evaluation":
        return _TOGETHER.get(str(fields.get("stage")), ())
    return _ROUND if op == "phase" and "first" in fields else ()
