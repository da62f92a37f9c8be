"""JSON and TOML that may come from anybody, as plain Python values; whatever is wrong with it is a ValueError.

Both parsers of the standard library follow brackets as deep as they go and end in a RecursionError, which nobody
expects of a file.
"""

from __future__ import annotations

import json
import tomllib
from typing import Any

_TOO_DEEP = "it is nested too deeply"


def from_json(text: str | bytes | bytearray) -> Any:
    """As json.loads. Raises ValueError: it is no JSON, or nested deeper than any file that people write."""
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError(_TOO_DEEP) from None


def from_toml(text: str) -> dict[str, Any]:
    """As tomllib.loads. Raises ValueError: it is no TOML, or nested deeper than any file that people write."""
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise tomllib.TOMLDecodeError(_TOO_DEEP) from None
