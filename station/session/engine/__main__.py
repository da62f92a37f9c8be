"""One session's engine as a process: ``python -m station.session.engine SESSION [OPTIONS]``."""

import sys

from station.session.engine.launch import main

sys.exit(main(sys.argv[1:]))
