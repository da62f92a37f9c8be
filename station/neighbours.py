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
_LOCAL, _REMOTE, _USER, _INODE = 1, 2, 7, 9
"""Columns of these tables."""
NOBODY = -1
"""Stands for the user of an end that no process of this machine holds. The tables give it to root once it is closed."""
_WORD = 4
_STEP = -1 if sys.byteorder == "little" else 1


def user_at(there: tuple[str, int], here: tuple[str, int]) -> int | None:
    """The user whose process has the end at address and port `there` of a connection to `here`; None: not known.

    NOBODY if no process has it any more; a remote end never had one.
    """
    ends = [f" {this} {that} " for this, that in zip(_written(*there), _written(*here), strict=True)]
    user = None
    for table in _TABLES:
        try:
            rows = table.read_text()
        except OSError:
            continue
        user = NOBODY
        for end in ends:
            if (at := rows.find(end)) >= 0:
                row = rows[rows.rfind("\n", 0, at) + 1 : rows.find("\n", at)].split()
                return int(row[_USER]) if int(row[_INODE]) else NOBODY
    return user


def _written(address: str, port: int) -> Iterator[str]:
    """An end as the two tables write it: words of the machine's byte order, in hexadecimal digits."""
    number = ipaddress.ip_address(address.partition("%")[0])
    six = ipaddress.IPv6Address(f"::ffff:{number}") if number.version == 4 else number
    four = number if number.version == 4 else (six.ipv4_mapped or six)
    for each in (four, six):
        data = each.packed
        words = (data[start : start + _WORD][::_STEP] for start in range(0, len(data), _WORD))
        yield f"{b''.join(words).hex().upper()}:{port:04X}"
