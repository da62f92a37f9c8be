"""``python -m station``: the same as the ``station`` command."""

from station.cli import main

if __name__ == "__main__":
    main()
