"""What `station bench speed` prints is measured here, in the units it says."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
import torch

from policy.devices import choose
from station.benchmark import speed
from station.benchmark.rates import flops
from station.reporting import SilentReporter
from station.tasks.config import load_task


def test_the_work_of_a_product_is_counted() -> None:
    left, right = torch.ones(8, 16), torch.ones(16, 4)
    assert flops(lambda: left @ right) == 2 * 8 * 16 * 4


@pytest.mark.slow
def test_every_part_is_measured_beside_its_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speed, "ENSEMBLES", (2,))
    task = load_task("place-orange-tiny")
    report = speed.measure(task, choose("cpu"), threads=1, seconds=0.0, reporter=SilentReporter())
    figures = {figure.name.partition(",")[0]: figure for figure in report.figures}
    assert [*figures] == ["matrix rate", "decision", "update", "training", "simulation", "commit"]
    for name, figure in figures.items():
        assert figure.value > 0.0 and figure.unit
        if name != "matrix rate":
            assert figure.limit and figure.share and figure.limit_is
            faster = (
                figure.value / figure.limit if figure.unit.endswith("/s") else figure.limit / figure.value
            )
            assert figure.share == pytest.approx(faster)


@pytest.mark.slow
def test_the_command_prints_a_table_or_json() -> None:
    command = [
        sys.executable,
        "-m",
        "station",
        "bench",
        "speed",
        "--task",
        "place-orange-tiny",
        "--seconds",
        "0.1",
    ]
    done = subprocess.run(
        [*command, "--device", "cpu", "--json"], capture_output=True, text=True, check=True, timeout=300
    )
    last = json.loads(done.stdout.splitlines()[-1])
    assert last["event"] == "done" and last["machine"]["threads"] == 1
    assert {"name", "value", "unit", "limit", "limit_is", "share"} == last["figures"][0].keys()
