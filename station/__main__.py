"""The console script, and ``python -m station``: an interruption is no traceback, not even while modules are loaded."""

from __future__ import annotations

import sys

_INTERRUPTED = 130


def main() -> None:
    """Run the command."""
    try:
        from station.cli import main as run

        run()
    except KeyboardInterrupt:
        sys.stderr.write("Interrupted.\n")
        sys.exit(_INTERRUPTED)


if __name__ == "__main__":
    main()
