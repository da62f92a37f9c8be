"""Intervals that a reader of a benchmark may believe."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from datasets.errors import UsageError
from datasets.randomness import stream
from station.benchmark import report
from station.benchmark.report import SeedResult
from station.commands.bench import parse_seeds


def result(seed: int, base: list[bool], final: list[bool]) -> SeedResult:
    return SeedResult(
        seed=seed,
        base=tuple(base),
        final=tuple(final),
        base_success=(45, 100),
        chunks=9000,
        env_steps=70_000,
        updates=27_000,
        facts={"threads": 1},
    )


def test_a_gain_that_is_the_same_everywhere_has_no_width() -> None:
    gain = report.paired_gain(np.zeros((3, 20)), np.ones((3, 20)), resamples=200)
    assert gain.mean == 1.0
    assert gain.over_layouts == pytest.approx((1.0, 1.0))
    assert gain.over_seeds_and_layouts == pytest.approx((1.0, 1.0))


def test_seeds_that_disagree_widen_only_the_interval_over_seeds() -> None:
    base = np.zeros((4, 50))
    final = np.zeros((4, 50))
    final[:2] = 1.0
    gain = report.paired_gain(base, final, resamples=2000)
    assert gain.over_layouts == pytest.approx((0.5, 0.5))
    assert gain.over_seeds_and_layouts == pytest.approx((0.0, 1.0))


@pytest.mark.slow
def test_the_interval_over_layouts_covers_the_truth_about_as_often_as_it_says() -> None:
    covered = 0
    for trial in range(60):
        rng = stream(7, "coverage", trial)
        base, final = rng.random((1, 80)) < 0.4, rng.random((1, 80)) < 0.6
        low, high = report.paired_gain(base.astype(float), final.astype(float), resamples=400).over_layouts
        covered += low <= 0.2 <= high
    assert covered >= 51


def test_pairing_makes_a_gain_sharper_than_two_separate_rates() -> None:
    rng = stream(1, "pairing")
    base = (rng.random((1, 150)) < 0.5).astype(float)
    final = np.maximum(base, rng.random((1, 150)) < 0.2)
    low, high = report.paired_gain(base, final, resamples=2000).over_layouts
    assert low > 0.0
    assert high - low < 0.15


def test_seeds_judged_on_different_layouts_are_not_mixed() -> None:
    with pytest.raises(ValueError, match="different numbers"):
        report.build([result(0, [True], [True]), result(1, [True, False], [True, True])])


def test_a_result_survives_its_file(tmp_path: Path) -> None:
    written = result(2, [True, False], [True, True])
    report.write(tmp_path / "seed.json", written.to_json())
    assert report.read(tmp_path / "seed.json") == written


def test_the_report_names_every_seed_and_its_n() -> None:
    summary = report.build([result(1, [False, True], [True, True]), result(0, [False, False], [True, False])])
    told = summary.to_json()
    assert [seed["seed"] for seed in told["seeds"]] == [0, 1]
    assert told["gain"]["mean"] == 0.5
    assert told["seeds"][0]["base_success"] == {"successes": 45, "n": 100}
    assert "2 seeds" in report.caption(summary)


@pytest.mark.parametrize(
    ("text", "seeds"), [("0-4", [0, 1, 2, 3, 4]), ("3", [3]), ("0,2,5-6,2", [0, 2, 5, 6])]
)
def test_seeds_are_written_as_people_write_them(text: str, seeds: list[int]) -> None:
    assert parse_seeds(text) == seeds


@pytest.mark.parametrize("text", ["", "a", "1,,2", "-3"])
def test_a_list_of_seeds_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_seeds(text)
