"""Starts a session's engine as a process of its own, for whoever wants one; `launch` is what runs in it.

Only starts it: whether it is alive, and what it does, is learnt through the link and the session's folder.
"""

from __future__ import annotations

import os
import subprocess
import sys

from datasets.own_files import open_own
from station.session.engine.options import EngineOptions
from station.session.folder import SessionFolder
from station.tether import Tether


def spawn(
    folder: SessionFolder, options: EngineOptions, tether: Tether | None = None
) -> subprocess.Popen[bytes]:
    """Start the engine; its output is appended to the session's log, and no Ctrl-C at the terminal reaches it.

    It outlives this process, unless it hangs on a `tether`. Raises NotOursError, OSError.
    """
    threads = str(options.threads)
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        # read when torch and numpy are loaded
        "OMP_NUM_THREADS": threads,
        "MKL_NUM_THREADS": threads,
        **(tether.environment if tether else {}),
    }
    with open_own(folder.log, "ab") as log:
        return subprocess.Popen(
            [
                sys.executable,
                "-P",
                "-m",
                "station.session.engine",
                str(folder.path),
                options.to_json(),
            ],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=environment,
            pass_fds=tether.inherited if tether else (),
            start_new_session=True,
        )
