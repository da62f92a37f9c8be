"""Which of the episodes that were found are meant: by task, by number or name, by success."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import pytest

from datasets.importers.findings import Finding
from datasets.importers.interface import Source
from datasets.importers.read import choice
from datasets.importers.read.choice import ChoiceError, by_episodes, by_instruction, mixed
from datasets.importers.read.reader import Reader
from tests.datasets.importers import sources
from tests.datasets.importers.desk import Desk

PICK, OPEN = "Pick the cube.", "open the drawer"


def source(key: str, instruction: str = "", name: str = "set") -> Source:
    return Source(path=Path("/in") / name, format="lerobot", key=key, instruction=instruction)


FOUND: list[Source | Finding] = [
    source("0", PICK),
    source("1", "pick the  cube"),
    source("2", OPEN),
    source("", name="episode_12.hdf5"),
    source("demo_3"),
    Finding(path=Path("/in/broken.h5"), refused="broken"),
]


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        ("", ["0", "1", "2", "", "demo_3"]),
        ("0-1", ["0", "1"]),
        ("2, 12", ["2", ""]),
        ("demo_*", ["demo_3"]),
        ("episode_12", [""]),
        ("0-2,success", ["0"]),
        ("success,failure", ["0", "1"]),
        ("unlabelled", ["2", "", "demo_3"]),
    ],
)
def test_episodes_are_chosen_by_numbers_ranges_names_and_success(text: str, keys: list[str]) -> None:
    verdicts = {"0": True, "1": False}
    chosen = by_episodes(FOUND, text, lambda one: verdicts.get(one.key))
    assert [one.key for one in chosen if isinstance(one, Source)] == keys
    assert isinstance(chosen[-1], Finding), "what cannot be read is said whatever is chosen"


@pytest.mark.parametrize("text", ["7", "20-30", "demo_4", "0,no_such"])
def test_a_choice_that_means_nothing_is_said(text: str) -> None:
    with pytest.raises(ChoiceError, match="No episode"):
        by_episodes(FOUND, text, lambda _: None)
    with pytest.raises(ChoiceError, match="None of"):
        by_episodes(FOUND, "success", lambda _: None)


def test_one_task_in_several_spellings_is_no_question_and_two_tasks_are() -> None:
    assert mixed(FOUND[:2]) is None
    asked = mixed(FOUND)
    assert asked is not None
    name, question = asked
    assert name == mixed(list(reversed(FOUND)))[0]  # type: ignore[index]
    assert "'Pick the cube.' (2 episodes), 'open the drawer' (1 episode)" in question.text
    assert question.flag == '--instruction "Pick the cube."|"open the drawer"|all'


@pytest.mark.parametrize(
    ("words", "keys"), [([PICK], ["0", "1"]), (["*drawer"], ["2"]), ([PICK, OPEN], ["0", "1", "2"])]
)
def test_an_instruction_takes_the_episodes_that_were_told_so(words: list[str], keys: list[str]) -> None:
    assert [one.key for one in by_instruction(FOUND, words) if isinstance(one, Source)] == keys
    assert by_instruction(FOUND, [choice.ALL]) == FOUND


def test_an_instruction_that_nobody_was_given_is_answered_with_those_that_were() -> None:
    with pytest.raises(ChoiceError, match=r"'close it'\. Instructions found: .*'open the drawer'"):
        by_instruction(FOUND, ["close it"])


def instructions(path: Path) -> list[str]:
    return [found.instruction for found in Reader().find([path]) if isinstance(found, Source)]


@pytest.mark.parametrize("version", ["v2.1", "v3.0"])
def test_the_tasks_of_a_lerobot_set_are_read_from_its_lists(tmp_path: Path, version: str) -> None:
    sources.lerobot(tmp_path / "set", version)
    assert instructions(tmp_path) == ["lift", "lift"]


def test_without_a_list_of_episodes_the_tables_tell_the_task(tmp_path: Path) -> None:
    root = sources.lerobot(tmp_path / "set", "v2.1")
    (root / "meta" / "episodes.jsonl").unlink()
    (root / "meta" / "tasks.jsonl").write_text(json.dumps({"task_index": 0, "task": PICK}) + "\nno JSON\n")
    assert instructions(tmp_path) == [PICK, PICK]


def test_other_formats_tell_their_task_too(tmp_path: Path) -> None:
    with h5py.File(sources.aloha(tmp_path / "episode_0.hdf5"), "r+") as file:
        file["language_raw"] = [OPEN.encode()]
    with h5py.File(sources.robomimic(tmp_path / "set.hdf5"), "r+") as file:
        file["data"].attrs["problem_info"] = json.dumps({"language_instruction": OPEN})
        file["data/demo_1"].attrs["ep_meta"] = json.dumps({"lang": PICK})
    sources.droid(tmp_path / "droid")
    (metadata,) = tmp_path.rglob("metadata_*.json")
    metadata.write_text(json.dumps({"current_task": "wipe the table"}))
    assert sorted(instructions(tmp_path)) == [PICK, OPEN, OPEN, "wipe the table"]


def test_nothing_new_is_taken_in_while_it_is_open_which_task_is_meant_and_what_is_known_stays_so(
    tmp_path: Path,
) -> None:
    desk = Desk(tmp_path, sources.SPECS["lerobot"], sources.ANSWERS["lerobot"])
    sources.lerobot(desk.inbox / "set", "v2.1")
    found = Reader().find([desk.inbox])
    told = [source(one.key, words) for one, words in zip(found, (PICK, OPEN), strict=True)]
    asked = mixed(told)
    assert asked is not None
    task = choice.outline_of(*asked, None)
    first, second = desk.start(unanswered=task)
    assert first.refused and "--instruction" in first.refused and first.outline is task and second.refused
    desk.run()
    assert [one.duplicate for one in desk.start(unanswered=task)] == [True, True]


def test_the_source_s_own_verdict_is_known_without_importing_it(tmp_path: Path) -> None:
    sources.robomimic(tmp_path / "set.hdf5")
    reader = Reader()
    assert [reader.success(one) for one in reader.find([tmp_path])] == [True, False]  # type: ignore[arg-type]
