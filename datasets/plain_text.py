"""Parsing of untrusted JSON and TOML into plain Python values; every problem is a ValueError.

The standard library's parsers raise RecursionError on deeply nested brackets, which callers do not expect from a file.
"""

from __future__ import annotations

import json
import tomllib
from typing import Any

_TOO_DEEP = "it is nested too deeply"


def from_json(text: str | bytes | bytearray) -> Any:
    """As json.loads. Raises ValueError: not JSON, or nested implausibly deep."""
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError(_TOO_DEEP) from None


def from_toml(text: str) -> dict[str, Any]:
    """As tomllib.loads. Raises ValueError: not TOML, or nested implausibly deep."""
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise tomllib.TOMLDecodeError(_TOO_DEEP) from None
