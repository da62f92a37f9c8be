"""The console script, and ``python -m station``: an interruption is no traceback, not even while modules are loaded."""

from __future__ import annotations

import os
import sys


def main() -> None:
    """Run the command."""
    _import_nothing_from_here()
    try:
        from station.cli import main as run

        run()
    except KeyboardInterrupt as error:
        from station.interruption import exit_code, signal_of

        sys.stderr.write("Interrupted.\n")
        sys.exit(exit_code(signal_of(error)))


def _import_nothing_from_here() -> None:
    """`python -m` looks for modules where one stands first: a data set's folder may hold a ``logging.py``.

    Every Python that is started from here does without too, workers of foreign files among them.
    """
    os.environ["PYTHONSAFEPATH"] = "1"
    # a checkout that is run as it lies is found there, and nowhere else; pathlib would be imported from there already
    own = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))  # noqa: PTH100, PTH120
    if not sys.flags.safe_path and sys.path[0] != own:
        del sys.path[0]


if __name__ == "__main__":
    main()
