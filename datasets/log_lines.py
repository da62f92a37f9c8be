"""What a log line begins with, in a session's log file and on the screen, and how to read what follows.

Engine and controllers write into the same file, so the stamp belongs to all of them.
"""

from __future__ import annotations

import re
from datetime import datetime

STAMP = "%(asctime)s "
"""Begins every format that `logging` is given: date and time to the millisecond."""
_STAMPED = re.compile(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} ")
_CLOCK = "%H:%M:%S "
CLOCK_WIDTH = len("12:34:56 ")
"""Characters before the sentence on the screen."""


def without_stamp(line: str) -> str:
    """What a line of the file says; one without a stamp, such as what a crash prints, as it is."""
    return _STAMPED.sub("", line)


def clocked(sentence: str) -> str:
    """A line for the screen, of this moment."""
    return f"{datetime.now().astimezone():{_CLOCK}}{sentence}"
