"""One process of a training that `torchrun` starts: ``python -m tests.policy.one_of_several FOLDER [REPORTS]``.

With REPORTS, the last process is gone after so many of them. An error is one sentence.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from policy.base import BasePolicy
from policy.bottleneck import BottleneckSettings
from policy.pretrain import Pretraining
from policy.processes import ProcessLostError, joined
from tests.policy.test_pretrain import UNEVEN, windows
from tests.policy.toys import SPEC, TINY


def main(folder: Path, reports: int | None) -> None:
    with joined() as processes:
        base = BasePolicy(SPEC, TINY, BottleneckSettings(dz=4, hidden=32), seed=3)
        training = Pretraining(base, windows(), UNEVEN, 3, folder, processes=processes)
        for count, _ in enumerate(training):
            if count == reports and not processes.leads:
                os._exit(1)
        if not processes.leads:
            training.base.save(folder.with_name("other"))


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: None)  # torchrun's to the others; a command puts it off
    try:
        main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else None)
    except ProcessLostError as error:
        sys.exit(str(error))
