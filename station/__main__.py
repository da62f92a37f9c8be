"""The console script, and ``python -m station``: an interruption prints no traceback, not even during imports."""

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
    """`python -m` searches the current folder first: a data set's folder may hold a ``logging.py``.

    Child interpreters do not search it either, including workers that read foreign files.
    """
    os.environ["PYTHONSAFEPATH"] = "1"
    # an uninstalled checkout is importable only from there; no pathlib: it would already be imported from there
    own = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))  # noqa: PTH100, PTH120
    if not sys.flags.safe_path and sys.path[0] != own:
        del sys.path[0]


if __name__ == "__main__":
    main()
