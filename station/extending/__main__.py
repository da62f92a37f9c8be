"""``python -m station.extending``: record the extension API again, after a deliberate change, and print its digest."""

from __future__ import annotations

import sys

from station.extending.surface import RECORD, digest, surface

if __name__ == "__main__":
    RECORD.write_text(surface(), encoding="utf-8")
    sys.stdout.write(f"{RECORD} is written. Name its digest in CHANGELOG.md: {digest()}\n")
