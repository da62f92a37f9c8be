"""A reader that foreign bytes have taken over.

``python -m tests.datasets.importers.read.taken_over DESCRIPTOR MEMORY``

Says to its parent what $TAKEN_OVER_SAYS is, in hexadecimal digits before it is asked anything.
"""

from __future__ import annotations

import os
import socket
import sys

if __name__ == "__main__":
    with socket.socket(fileno=int(sys.argv[1])) as line:
        line.sendall(bytes.fromhex(os.environ["TAKEN_OVER_SAYS"]))
        while line.recv(4096):
            pass
