"""One session's engine as a process: ``python -m station.session.engine SESSION``."""

import sys

from station.session.engine.launch import main

sys.exit(main())
