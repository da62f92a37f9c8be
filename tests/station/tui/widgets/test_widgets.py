from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from textual.app import App, ComposeResult

from datasets.journal.journal import Line
from datasets.journal.records import EpisodeCutOff, Record, read
from hardware.latch import StopLatch
from hardware.robot.cell import RobotCell
from station.session.snapshot import Counts, EpisodeMark, LiveHealth, LiveSteering, Phase, TimeLedger
from station.tui.key_dispatcher import Echo, PressStatus
from station.tui.keymap import default_keymap
from station.tui.widgets import figures
from station.tui.widgets.curves import LengthCurve, Short
from station.tui.widgets.headline import Call, call, draw_call
from station.tui.widgets.intervals import interval_bar, rate_line
from station.tui.widgets.recording import Reading, draw_reading
from station.tui.widgets.strip import outcome_strip
from station.tui.widgets.tile import UPPER_HALF, fit, half_blocks, quantise
from station.tui.widgets.trajectory import thinned
from station.tui.wording import about, count, duration, figure, rate_words
from tests.hardware.fakes import cell_table, read_cell
from tests.station.tui.fakes import counts, marks, rate, scene_image, snapshot


def test_a_half_block_holds_two_pixels() -> None:
    image = np.zeros((2, 3, 3), np.uint8)
    image[0, :] = (255, 0, 0)
    image[1, :] = (0, 0, 255)
    (strip,) = half_blocks(quantise(image))
    (segment,) = strip
    assert segment.text == UPPER_HALF * 3
    assert segment.style is not None and segment.style.color is not None and segment.style.bgcolor is not None
    assert segment.style.color.get_truecolor() == (255, 0, 0)
    assert segment.style.bgcolor.get_truecolor() == (0, 0, 255)


def test_equal_neighbours_merge_and_the_width_stays() -> None:
    image = np.zeros((4, 64, 3), np.uint8)
    image[:, 32:] = 200
    strips = half_blocks(quantise(image))
    assert [len(list(strip)) for strip in strips] == [2, 2]
    assert [strip.cell_length for strip in strips] == [64, 64]


@pytest.mark.parametrize("shape", [(64, 64), (110, 280), (280, 110), (3, 500)])
def test_an_image_keeps_its_aspect_and_fits(shape: tuple[int, int]) -> None:
    image = np.zeros((*shape, 3), np.uint8)
    fitted = fit(image, 40, 20)
    height, width = fitted.shape[:2]
    assert width <= 40 and height <= 40 and height % 2 == 0
    if min(shape) > 50:
        assert width / height == pytest.approx(shape[1] / shape[0], rel=0.1)


def test_an_image_of_fitting_size_is_not_touched() -> None:
    image = scene_image(40)
    assert fit(image, 40, 20) is image


def test_the_interval_is_drawn_where_it_lies() -> None:
    drawn = interval_bar(rate(50, 100), 21, "$success").plain
    assert len(drawn) == 21
    assert drawn.index("├") <= drawn.index("●") == 10 <= drawn.index("┤")


@pytest.mark.parametrize(("successes", "n"), [(0, 1), (1, 1), (0, 100), (100, 100)])
def test_extreme_rates_stay_inside_the_bar(successes: int, n: int) -> None:
    assert len(interval_bar(rate(successes, n), 15, "$success").plain) == 15


def test_a_rate_line_has_the_width_of_its_panel() -> None:
    assert rate_line("rolling", rate(34, 50), 40, "$success").cell_length == 40
    assert rate_line("base", None, 40, "$success").plain.endswith("none yet")


def test_the_strip_says_every_outcome_by_letter_with_the_newest_at_the_right() -> None:
    outcomes = ("success", "failure", "timeout", "void", "pending")
    last = tuple(EpisodeMark(id=o, outcome=o, steps=1, evaluation=False) for o in outcomes)
    assert outcome_strip(last, 40).plain == "SFTV?"


def test_evaluation_episodes_are_lower_case() -> None:
    last = (EpisodeMark(id="e", outcome="success", steps=1, evaluation=True),)
    assert outcome_strip(last, 40).plain == "s"


@pytest.mark.parametrize("width", [5, 11, 12, 40, 90])
def test_the_strip_never_overflows(width: int) -> None:
    assert outcome_strip(marks(120), width).cell_length <= width


def test_the_time_bar_fills_its_width_with_letters() -> None:
    ledger = TimeLedger(moving=50, waiting=20, labelling=10, updating=20, eta=600)
    first, *rest = figures.time_ledger(ledger, 40, 4).plain.splitlines()
    assert first == "M" * 20 + "W" * 8 + "L" * 4 + "U" * 8
    assert "about 10 min" in "\n".join(rest)


def test_a_slow_loop_and_an_old_frame_are_marked_by_a_sign() -> None:
    sick = LiveHealth(
        achieved_hz=6.0, wanted_hz=10.0, frame_age={"wrist": 0.7}, oldest_frame=0.2, disk_hours=0.2
    )
    drawn = figures.health(figures.Vitals(live=sick, moving=True), 40, 4).plain.splitlines()
    assert [line[0] for line in drawn] == ["!", "!", "✓", "!"]


def test_a_decision_that_takes_longer_than_a_control_period_is_marked() -> None:
    def drawn(decision: float, overlap: int = 0) -> str:
        live = LiveHealth(achieved_hz=10.0, wanted_hz=10.0, disk_hours=9, decision=decision, overlap=overlap)
        return figures.health(figures.Vitals(live=live, moving=True), 40, 4).plain.splitlines()[2]

    assert drawn(0.045).startswith("✓ decision") and drawn(0.045).endswith("45 of 100 ms")
    assert drawn(0.145).startswith("! decision") and drawn(0.145).endswith("145 of 100 ms")
    assert drawn(0.145, overlap=2).startswith("✓ decision") and drawn(0.145, overlap=2).endswith("of 200 ms")


def test_of_frames_that_do_not_fit_the_oldest_is_named() -> None:
    ages = {"third": 0.004, "wrist_left": 0.7, "wrist_right": 0.03}
    live = LiveHealth(wanted_hz=10.0, frame_age=ages, oldest_frame=0.2, disk_hours=9)

    def drawn(columns: int) -> str:
        return figures.health(figures.Vitals(live=live, moving=False), columns, 4).plain.splitlines()[1]

    assert drawn(40) == "! frames   wrist_left 700 ms, oldest of 3"
    assert drawn(80).endswith("third 4 ms  wrist_left 700 ms  wrist_right 30 ms")


def test_an_old_frame_and_a_faulty_arm_are_marked_also_while_nothing_moves() -> None:
    sick = LiveHealth(
        wanted_hz=10.0, frame_age={"wrist": 3.9}, oldest_frame=0.2, arms_wrong={"left": "C31"}, disk_hours=9
    )
    drawn = figures.health(figures.Vitals(live=sick, moving=False), 40, 4).plain.splitlines()
    assert [line[0] for line in drawn] == ["!", "!", "✓", "✓"]
    assert "left not ready" in drawn[0]


def test_a_cell_that_is_not_connected_has_no_tick(tmp_path: Path) -> None:
    cell = RobotCell(read_cell(cell_table(tmp_path / "board")), StopLatch(tmp_path / "latch"))
    there = cell.health()
    live = LiveHealth(wanted_hz=10.0, arms_wrong=there.arms_wrong, frame_age=there.frame_age, disk_hours=9)
    drawn = figures.health(figures.Vitals(live=live, moving=False), 40, 4).plain.splitlines()
    assert [line[0] for line in drawn] == ["!", "!", "✓", "✓"]
    assert "left not ready" in drawn[0] and "no frame yet" in drawn[1]


def test_what_the_limits_held_back_is_read_while_the_arm_moves() -> None:
    held = LiveHealth(achieved_hz=10.0, wanted_hz=10.0, disk_hours=100, interventions=35312)
    first = figures.health(figures.Vitals(live=held, moving=True), 41, 4).plain.splitlines()[0]
    assert first.endswith("held back 35312") and len(first) <= 41


def test_an_arm_at_rest_is_not_called_slow() -> None:
    resting = LiveHealth(achieved_hz=0.4, wanted_hz=10.0, disk_hours=100)
    assert figures.health(figures.Vitals(live=resting, moving=False), 40, 4).plain.startswith("✓")


def test_the_steering_panel_shows_the_block_and_every_figure() -> None:
    live = LiveSteering(
        method="zprl", done=120, planned=340, rate=52.0, metrics={"rms_ratio": 0.2, "own": 3.0}
    )
    drawn = figures.steering(live, 40, 5).plain
    assert "120/340" in drawn and "52/s" in drawn and "RMS ratio" in drawn and "own" in drawn


def test_the_warm_up_is_said_in_chunks() -> None:
    assert "300 chunks until the first update" in figures.steering(LiveSteering(warmup_left=300), 42, 5).plain


def test_what_was_cut_off_is_told_beside_the_tally_and_in_review_with_its_reason() -> None:
    tally = figures.success(Counts(episodes=3, success=3, cut_off=2), 50, 4).plain.splitlines()[-1]
    assert tally.startswith("3 online") and tally.endswith("cut 2")
    assert "cut" not in figures.success(Counts(episodes=3), 50, 4).plain
    record = EpisodeCutOff(episode="online-000003", steps=3, reason="The link is lost.")
    line = Line(seq=1, time=0.0, record=record)
    assert "cut off: The link is lost." in draw_reading(Reading(history=(line,)), 80, 4).plain


def test_the_success_panel_keeps_its_tally_in_the_last_row() -> None:
    for rows in (4, 8):
        lines = figures.success(counts(), 40, rows).plain.splitlines()
        assert len(lines) == rows
        assert lines[-1] == "120 online: S 66  F 21  T 33  V 1"
    assert "none yet" in figures.success(Counts(), 40, 4).plain


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "0:00"),
        (61, "1:01"),
        (3 * 3600 + 240, "3h 04m"),
        (3 * 86400, "3d 00h"),
        (None, "–"),
        (float("inf"), "–"),
    ],
)
def test_durations(seconds: float | None, said: str) -> None:
    assert duration(seconds) == said


def test_figures_are_short_and_never_lie_about_nan() -> None:
    assert [figure(value) for value in (0.0, 0.5, 12.345, 1e-5, float("nan"))] == [
        "0.000",
        "0.500",
        "12.3",
        "1.0e-05",
        "nan",
    ]
    assert [count(value) for value in (850, 12_400, 3_100_000)] == ["850", "12.4k", "3.1M"]
    assert about(None) == "time left unknown"
    assert rate_words(None) == "–" and rate_words(rate(1, 2)).startswith("50% [")


def test_a_long_recording_is_drawn_by_the_extremes_of_each_column() -> None:
    values = np.zeros((3000, 2), np.float32)
    values[1234, 0], values[2999, 1] = 7.0, -3.0
    time, thin = thinned(np.arange(3000) / 30, values, 80)
    assert len(time) == len(thin) == 160
    assert (thin[:, 0].max(), thin[:, 1].min()) == (7.0, -3.0)
    assert abs(time[thin[:, 0].argmax()] - 1234 / 30) < 100 / 80
    short = values[:100]
    assert thinned(np.arange(100) / 30, short, 80)[1] is short


def test_ticks_say_thousands_shortly_and_decimals_as_they_are() -> None:
    assert Short().get_labels_for_ticks([-0.65, -2e-16, 1.33, 12_400.0]) == ["-0.65", "0", "1.33", "12.4k"]


def lines(told: list[tuple[str, str | None, str]]) -> tuple[Line[Record], ...]:
    return tuple(
        Line(
            seq=number, time=0.0, record=read(op, {"episode": "online-000000", "outcome": outcome, "by": by})
        )
        for number, (op, outcome, by) in enumerate(told)
    )


def test_judgements_are_told_in_order_and_of_many_the_newest_stay() -> None:
    told = lines(
        [
            ("label", "failure", "recorder"),
            ("label", "success", "review"),
            ("label", None, "review"),
            ("void", None, "command"),
            ("restore", None, "review"),
        ]
    )
    model = Reading(names=("x", "y"), values=(1.0, -2.0), about="demo 3 · careful", history=told)
    whole = draw_reading(model, 200, 9).plain
    order = [
        "failure by recorder",
        "success by review",
        "taken back by review",
        "void by command",
        "restored by review",
    ]
    assert [whole.index(words) for words in order] == sorted(whole.index(words) for words in order)
    small = draw_reading(model, 50, 3).plain.splitlines()
    assert len(small) == 3 and small[0] == "x +1.000  y -2.000"
    assert small[2].startswith("label: …") and small[2].endswith("restored by review")


@pytest.mark.slow
async def test_a_curve_without_data_has_no_numbers_at_its_axes() -> None:
    class Empty(App[None]):
        def compose(self) -> ComposeResult:
            yield LengthCurve("steps per episode")

    empty = Empty()
    async with empty.run_test(size=(60, 12)) as pilot:
        await pilot.pause()
        texts = re.findall(r">([^<>]*)</text>", empty.export_screenshot())
        assert not any("0.2" in text for text in texts)


def test_the_log_wraps_its_newest_lines_and_cuts_none() -> None:
    lines = ["12:00:01 an older line", "12:00:02 " + "word " * 12, "12:00:03 the newest"]
    shown = figures.log(lines, 40, 6).plain.splitlines()
    assert " ".join(" ".join(shown).split()) == " ".join(" ".join(lines).split())
    assert all(len(line) <= 40 for line in shown)
    assert figures.log(lines, 40, 3).plain.splitlines() == shown[1:], "the oldest gives way, whole"
    assert figures.log(lines, 40, 1).plain == "12:00:03 the newest"


def test_a_refusal_is_wrapped_and_none_of_it_is_cut() -> None:
    why = "the session had changed before the key arrived, and is in fault now: look at the screen, then press again"
    echo = Echo(action="go", key="r", status=PressStatus.REFUSED, detail=why)
    _, *below = draw_call(
        Call(badge="FAULT", style="", sentence="Halted.", below="", echo=echo), 80, 6
    ).plain.splitlines()
    assert " ".join(word for line in below for word in line.split()) == str(echo)
    assert max(map(len, below)) <= 80


def test_a_void_episode_is_not_called_labelled_or_pending() -> None:
    for label in ("success", None):
        below = call(snapshot(Phase.READY, void=True, label=label), None, default_keymap()).below
        assert "online-000120 is void" in below
        assert "success" not in below and "pending" not in below


def test_a_press_whose_motion_a_fault_has_ended_is_not_shown_beside_the_fault() -> None:
    start = Echo(action="go", key="r", status=PressStatus.DONE, detail="start")
    rearm = Echo(action="rearm", key="^r", status=PressStatus.DONE, detail="re-arm")
    keys = default_keymap()
    assert call(snapshot(Phase.ROLLOUT), start, keys).echo is start
    assert call(snapshot(Phase.FAULT), start, keys).echo is None
    assert call(snapshot(Phase.FAULT), replace(start, status=PressStatus.TAKEN), keys).echo is not None
    assert call(snapshot(Phase.FAULT, rearmed=True), rearm, keys).echo is rearm


def test_an_evaluation_that_was_ended_early_is_drawn_as_a_part_of_one() -> None:
    whole = counts().evaluations[-1]
    both = replace(counts(), evaluations=(whole, replace(whole, early=True)))
    heads = [line.split()[0] for line in figures.success(both, 60, 8).plain.splitlines() if line.strip()]
    assert {"eval", "part"} <= {*heads}
