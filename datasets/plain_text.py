"""Parsing of untrusted JSON and TOML into plain Python values; every problem is a ValueError.

The standard library's parsers raise RecursionError on deeply nested brackets, which callers do not expect from a file,
and a dotted TOML key costs them time and memory with the square of its parts: 100 kB of them take 10 GB.
"""

from __future__ import annotations

import json
import re
import tomllib
from typing import Any

_TOO_DEEP = "it is nested too deeply"
_DOTTED = re.compile(r"""(?<![\w-])(?:(?:[\w-]++|"[^"\n]*"|'[^'\n]*')[ \t]*\.[ \t]*){16}""")
"""A key of more parts than any table of ours is deep."""


def from_json(text: str | bytes | bytearray) -> Any:
    """As json.loads. Raises ValueError: not JSON, or nested implausibly deep."""
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError(_TOO_DEEP) from None


def from_toml(text: str) -> dict[str, Any]:
    """As tomllib.loads. Raises ValueError: not TOML, or nested implausibly deep."""
    if _DOTTED.search(text):
        raise tomllib.TOMLDecodeError(_TOO_DEEP)
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise tomllib.TOMLDecodeError(_TOO_DEEP) from None
