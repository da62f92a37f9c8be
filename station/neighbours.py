"""Which user of this machine is at the other end of a TCP connection, as far as the system tells.

Cookies ignore ports: a page that another user of this machine serves under the same name can see ours. The
caller can be identified only on the machine itself; a remote connection has no local user.
"""

from __future__ import annotations

import ipaddress
import sys
from collections.abc import Iterator
from pathlib import Path

_TABLES = Path("/proc/net/tcp"), Path("/proc/net/tcp6")
_LOCAL, _REMOTE, _USER = 1, 2, 7
"""Columns of these tables."""
_WORD = 4
_STEP = -1 if sys.byteorder == "little" else 1


def user_at(there: tuple[str, int], here: tuple[str, int]) -> int | None:
    """The user whose process has the end at address and port `there` of a connection to `here`; None: not known."""
    ends = [*zip(_written(*there), _written(*here), strict=True)]
    for table in _TABLES:
        try:
            rows = table.read_text().splitlines()[1:]
        except OSError:
            continue
        for row in map(str.split, rows):
            if (row[_LOCAL], row[_REMOTE]) in ends:
                return int(row[_USER])
    return None


def _written(address: str, port: int) -> Iterator[str]:
    """An end as the two tables write it: words of the machine's byte order, in hexadecimal digits."""
    number = ipaddress.ip_address(address.partition("%")[0])
    six = ipaddress.IPv6Address(f"::ffff:{number}") if number.version == 4 else number
    four = number if number.version == 4 else (six.ipv4_mapped or six)
    for each in (four, six):
        data = each.packed
        words = (data[start : start + _WORD][::_STEP] for start in range(0, len(data), _WORD))
        yield f"{b''.join(words).hex().upper()}:{port:04X}"
