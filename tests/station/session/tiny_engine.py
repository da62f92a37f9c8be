"""A session engine of fakes in its own process: ``python -m tests.station.session.tiny_engine SESSION EPISODES``."""

from __future__ import annotations

import sys
from pathlib import Path

import torch

from station.session.launch import serve
from station.session.parts import Options
from tests.station.session.fakes import make_parts


def main(path: Path, episodes: int, *, headless: bool = True) -> int:
    torch.set_num_threads(1)
    options = Options(headless=headless, autopilot=headless, mistakes=0.2, episodes=episodes)
    return serve(path, options, lambda folder, latch: make_parts(folder, 2, latch=latch))


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), int(sys.argv[2]), headless="--attended" not in sys.argv))
