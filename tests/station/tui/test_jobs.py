from __future__ import annotations

import asyncio
import sys

import pytest

from station.interruption import ended_by
from station.tui.jobs import Facts, Job, Record, parsed
from station.tui.screens.work import line

TALKER = """
import json, sys
for done in (1, 2):
    print(json.dumps({"event": "progress", "stage": "joint", "done": done, "total": 2, "loss": 1 / done, "eta": 3.0}))
print("a word on the side")
print(json.dumps({"event": "done"}))
sys.exit(3)
"""
SLEEPER = """
import signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit(130))
print('{"event": "progress", "stage": "joint", "done": 0, "total": 9}', flush=True)
time.sleep(60)
"""


async def test_a_job_tells_what_it_does_line_by_line() -> None:
    record = Record()
    code = await Job([sys.executable, "-c", TALKER]).run(record.hear)
    assert code == 3
    assert record.newest is not None and record.newest.share == 1.0
    assert record.losses["joint"] == [(1.0, 1.0), (2.0, 0.5)]
    assert record.words == ["a word on the side"]
    assert record.done is not None


async def test_a_job_can_be_interrupted_politely() -> None:
    heard = asyncio.Event()
    job = Job([sys.executable, "-c", SLEEPER])
    running = asyncio.create_task(job.run(lambda _: heard.set()))
    await heard.wait()
    job.interrupt()
    assert ended_by(await running) is not None
    assert not job.running


@pytest.mark.parametrize(
    ("line", "facts"),
    [
        ("", None),
        ("╭──────╮", None),
        ("│ The disk is full.  │", {"event": "words", "message": "The disk is full."}),
        ('{"event": "done"}', {"event": "done"}),
        ('{"no": "event"}', {"event": "words", "message": '{"no": "event"}'}),
        ("17", {"event": "words", "message": "17"}),
    ],
)
def test_what_is_no_event_is_kept_as_words(line: str, facts: Facts | None) -> None:
    assert parsed(line) == facts


def test_stages_stay_in_the_order_in_which_they_began() -> None:
    record = Record()
    for name in ("import", "joint", "import"):
        record.hear({"event": "progress", "stage": name, "done": 1, "total": 2})
    assert list(record.stages) == ["import", "joint"]
    assert record.newest is not None and record.newest.name == "import"


def test_an_error_is_kept_with_its_message() -> None:
    record = Record()
    record.hear({"event": "error", "message": "The disk is full.", "exit_code": 1})
    assert record.error == "The disk is full."


def test_how_recordings_are_understood_is_no_word_on_the_side() -> None:
    record = Record()
    record.hear({"event": "mapping", "structure": "b4a2745b", "entries": []})
    assert record.words == []


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({"file": "a.h5", "detail": "", "steps": 99}, "a.h5: 99 steps"),
        ({"file": "a.h5", "detail": "", "steps": 99, "duplicate": True}, "a.h5: known already"),
        ({"file": "a.h5", "detail": "3 images are dark", "steps": 99}, "a.h5: 3 images are dark"),
        ({"file": "a.h5", "refused": "it cannot be opened"}, "refused a.h5: it cannot be opened"),
        ({"path": "latent", "successes": 9, "n": 20}, "base, latent path: 9 of 20 succeed (45%)"),
    ],
)
def test_every_finding_and_result_says_something(facts: Facts, words: str) -> None:
    assert line(facts) == words
