"""``station import`` of foreign demonstrations: questions and answers, the report, dry runs, interruptions."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import h5py
import pytest

from datasets.journal.journal import Journal
from tests.datasets.importers import sources
from tests.station.conftest import Station, sentences

SLOWLY = """
import time
from datasets.store import EpisodeStore
from station.__main__ import main
commit = EpisodeStore.commit
EpisodeStore.commit = lambda store, episode: (time.sleep(0.2), commit(store, episode))
main()
"""
"""The station with a disk so slow that an import of many episodes is still under way when it is interrupted."""
EVERYTHING = (
    *("--colour", "rgb", "--rate", "20", "--kinematics", "xarm6", "--gripper", "0,1"),
    *("--map", "state=joints", "--map", "angle=rad", "--map", "action.range=0,1"),
)


@pytest.fixture
def session(station: Station, tmp_path: Path, tiny_task: Path) -> Path:
    assert station("new", tmp_path / "s", "--task", tiny_task).exit_code == 0
    return tmp_path / "s"


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines() if line.startswith("{")]


def test_an_import_that_must_ask_says_the_flags_and_changes_nothing(
    station: Station, session: Path, tmp_path: Path
) -> None:
    sources.aloha(tmp_path / "episode_0.hdf5")
    result = station("import", session, tmp_path / "episode_0.hdf5")
    assert result.exit_code == 1
    for flag in ("--colour rgb|bgr", "--rate", "--map state=joints|pose"):
        assert flag in result.output
    assert json.loads(station("status", session, "--json").stdout)["demos"] == 0


@pytest.mark.slow
@pytest.mark.parametrize("dry", [(), ("--dry-run",)])
def test_questions_are_said_once_however_many_episodes_raise_them(
    station: Station, session: Path, tmp_path: Path, dry: tuple[str, ...]
) -> None:
    (tmp_path / "in").mkdir()
    for number in range(3):
        sources.aloha(tmp_path / "in" / f"episode_{number}.hdf5")
    said = " ".join(station("import", session, tmp_path / "in", *dry).output.split())
    assert said.count("--colour rgb|bgr") == 1
    assert said.count("unanswered, see above") == 3


@pytest.mark.slow
def test_what_was_answered_once_is_not_asked_again(station: Station, session: Path, tmp_path: Path) -> None:
    sources.aloha(tmp_path / "episode_0.hdf5")
    assert station("import", session, tmp_path / "episode_0.hdf5", *EVERYTHING).exit_code == 0
    assert 'colour = "rgb"' in (session / "import.toml").read_text()
    sources.aloha(tmp_path / "episode_1.hdf5", bgr=True)
    result = station("import", session, tmp_path / "episode_1.hdf5", "--json")
    assert result.exit_code == 0
    (mapping,) = (line for line in lines(result.stdout) if line["event"] == "mapping")
    origins = {entry["name"]: entry["origin"] for entry in mapping["entries"]}
    assert (origins["colour"], origins["camera.third"]) == ("saved", "proposed")
    assert all(question["optional"] for question in mapping["questions"])
    assert mapping["images"]["cam_high"]["width"] == 64


@pytest.mark.slow
def test_a_dry_run_writes_nothing_and_counts_what_it_saw(
    station: Station, session: Path, tmp_path: Path
) -> None:
    inbox = tmp_path / "inbox"
    inbox.mkdir()
    sources.aloha(inbox / "episode_0.hdf5")
    (inbox / "broken.hdf5").write_bytes(b"nothing")
    result = station("import", session, inbox, *EVERYTHING, "--dry-run", "--json")
    done = lines(result.stdout)[-1]
    assert (done["imported"], done["refused"]) == (1, 1)
    assert done["defects"]["unreadable"] == {"refused": 1}
    assert done["defects"]["no success label"] == {"warning": 1}
    assert not (session / "journal.jsonl").exists() and not (session / "import.toml").exists()


@pytest.mark.slow
def test_a_dry_run_does_not_claim_that_something_was_imported(
    station: Station, session: Path, tmp_path: Path
) -> None:
    sources.aloha(tmp_path / "episode_0.hdf5")
    said = station("import", session, tmp_path / "episode_0.hdf5", *EVERYTHING, "--dry-run").output
    assert "1 would be imported, 0 known already, 0 would be refused" in said


@pytest.mark.slow
def test_a_dry_run_with_again_says_what_would_be_replaced(
    station: Station, session: Path, tmp_path: Path
) -> None:
    source = sources.aloha(tmp_path / "episode_0.hdf5")
    imported = lines(station("import", session, source, *EVERYTHING, "--json").stdout)
    name = next(line["episode"] for line in imported if line["event"] == "result")
    journal = (session / "journal.jsonl").read_bytes()
    for colour, replaced in (("rgb", []), ("bgr", [name])):
        told = ("--colour", colour, "--again", "--dry-run", "--json")
        found = lines(station("import", session, source, *told).stdout)
        finding = next(line for line in found if line["event"] == "finding")
        assert (finding["replaces"], finding["duplicate"]) == (replaced, not replaced)
    mapping = next(line for line in found if line["event"] == "mapping")
    assert {each["name"]: each["value"] for each in mapping["settled"]} == {
        "colour": "bgr",
        "rate": "20",
        "kinematics": "xarm6",
        "range": "0,1",
        "action.range": "0,1",
        "state": "joints",
        "angle": "rad",
    }
    assert (session / "journal.jsonl").read_bytes() == journal


@pytest.mark.slow
def test_the_report_is_a_table_of_defects(station: Station, session: Path, tmp_path: Path) -> None:
    sources.aloha(tmp_path / "episode_0.hdf5")
    result = station("import", session, tmp_path / "episode_0.hdf5", *EVERYTHING)
    assert "1 imported, 0 duplicates, 0 refused" in result.output
    assert "camera.third" in result.output and "(proposed)" in result.output
    row = next(line for line in result.output.splitlines() if line.startswith("no success label"))
    assert row.split() == ["no", "success", "label", "1"]


@pytest.mark.slow
@pytest.mark.parametrize("dry", [pytest.param(True, marks=pytest.mark.slow), False])
def test_an_answer_that_the_numbers_contradict_is_told_with_the_one_that_fits(
    station: Station, session: Path, tmp_path: Path, *, dry: bool
) -> None:
    """By the import itself as by its preview: whoever skips the preview has wrong grippers otherwise."""
    file = sources.aloha(tmp_path / "episode_0.hdf5")
    with h5py.File(file, "r+") as source:
        for name in ("observations/qpos", "action"):
            values = source[name][()]
            values[:, 6] *= 0.085
            source[name][...] = values
    words = (
        "--colour",
        "rgb",
        "--rate",
        10,
        "--kinematics",
        "xarm6",
        "--map",
        "state=joints",
        "--map",
        "angle=rad",
    )
    ranges = ("--gripper", "0,1", "--map", "action.range=0,1", "--outcome", "success")
    result = station("import", session, file, *words, *ranges, *(["--dry-run"] if dry else []))
    assert result.exit_code == 0, result.output
    said = sentences(result)
    assert "say --gripper 0,0.085" in said and "say --map action.range=0,0.085" in said


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (("--colour", "green"), "--colour: it should be 'rgb' or 'bgr'"),
        (("--frame", "nowhere.txt"), "--frame:"),
        (("--rate", "abc"), "--rate: 'abc' is no number"),
        (("--as", "lerobt"), "Did you mean 'lerobot'?"),
        (("--map", "colr=rgb"), "Did you mean 'colour'?"),
    ],
)
def test_flags_of_no_meaning_are_answered_before_anything_is_read(
    station: Station, session: Path, tmp_path: Path, flags: tuple[str, ...], sentence: str
) -> None:
    sources.aloha(tmp_path / "episode_0.hdf5")
    result = station("import", session, tmp_path / "episode_0.hdf5", *flags)
    assert result.exit_code == 2 and sentence in result.output


@pytest.mark.slow
def test_a_forced_format_that_finds_nothing_is_named(station: Station, session: Path, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    sources.aloha(tmp_path / "in" / "episode_0.hdf5")
    refused = station("import", session, tmp_path / "in", "--as", "lerobot")
    said = " ".join(refused.output.replace("│", " ").split())
    assert refused.exit_code == 2
    assert "No recording of the format lerobot" in said and "Without --as lerobot" in said


@pytest.mark.slow
def test_a_known_source_with_another_mapping_is_told_how_to_replace_it(
    station: Station, session: Path, tmp_path: Path
) -> None:
    sources.aloha(tmp_path / "episode_0.hdf5")
    source = tmp_path / "episode_0.hdf5"
    assert station("import", session, source, *EVERYTHING).exit_code == 0
    changed = ("import", session, source, "--colour", "bgr")
    for dry in ((), ("--dry-run",)):
        said = " ".join(station(*changed, *dry).output.split())
        assert "imported before with another mapping (colour rgb, now bgr); to replace it say --again" in said
    assert "1 known already" in said
    assert "1 imported" in station(*changed, "--again").output
    counts = json.loads(station("status", session, "--json").stdout)
    assert (counts["demos"], counts["void"]) == (1, 0)
    assert "imported before" not in station("import", session, source).output


@pytest.mark.slow
def test_a_folder_of_sessions_is_imported_without_the_sessions_own_episodes(
    station: Station, session: Path, tmp_path: Path
) -> None:
    sources.aloha(tmp_path / "episode_0.hdf5")
    assert station("import", session, tmp_path / "episode_0.hdf5", *EVERYTHING).exit_code == 0
    result = station("import", session, tmp_path, *EVERYTHING, "--dry-run", "--json")
    found = [line["file"] for line in lines(result.stdout) if line["event"] == "finding"]
    assert found == [str(tmp_path / "episode_0.hdf5")]
    alone = station("import", session, session)
    assert alone.exit_code == 2
    assert "this session has already" in " ".join(alone.output.replace("│", " ").split())


@pytest.mark.slow
@pytest.mark.parametrize("ignored", [False, True], ids=["at a terminal", "in a script's background"])
def test_an_interrupted_import_says_so_and_goes_on_where_it_was(
    station: Station, session: Path, tmp_path: Path, *, ignored: bool
) -> None:
    path = sources.robomimic(tmp_path / "set.hdf5", demos=40)
    words = ["import", str(session), str(path), "--map", "joints=obs/robot0_joint_pos[0:6]"]
    before = signal.signal(signal.SIGINT, signal.SIG_IGN if ignored else signal.default_int_handler)
    try:
        process = subprocess.Popen(
            [sys.executable, "-c", SLOWLY, *words],
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
        )
    finally:
        signal.signal(signal.SIGINT, before)
    deadline = time.monotonic() + 120
    while not (session / "journal.jsonl").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 130 and "Interrupted. Finished work is safe" in said
    done = lines(station(*words, "--json").stdout)[-1]
    assert done["imported"] + done["duplicates"] == 40 and done["imported"] >= 1
    assert station("verify", session).exit_code == 0


@pytest.mark.slow
def test_an_import_that_is_killed_goes_on_without_duplicates(
    station: Station, session: Path, tmp_path: Path
) -> None:
    inbox = tmp_path / "inbox"
    inbox.mkdir()
    path = sources.robomimic(inbox / "set.hdf5", demos=12)
    flags = ["--as", "robomimic", "--map", "joints=obs/robot0_joint_pos[0:6]", "--json"]
    command = [sys.executable, "-m", "station", "import", str(session), str(path), *flags]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ)
    assert process.stdout is not None
    for line in process.stdout:
        if '"event": "result"' in line:
            break
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    deadline = time.monotonic() + 120
    result = station("import", session, path, *flags)
    while "holds" in result.output and time.monotonic() < deadline:
        result = station("import", session, path, *flags)
    done = lines(result.stdout)[-1]
    assert done["imported"] + done["duplicates"] == 12 and done["duplicates"] >= 1
    assert json.loads(station("status", session, "--json").stdout)["demos"] == 12
    assert station("verify", session).exit_code == 0


def posed(tiny_task: Path, folder: Path) -> Path:
    """The tiny task, observing poses."""
    text = tiny_task.read_text()
    assert text.count('proprioception = "joints"') == 1
    (folder / "posed.toml").write_text(text.replace('proprioception = "joints"', 'proprioception = "pose"'))
    return folder / "posed.toml"


@pytest.mark.slow
def test_demonstrations_without_joint_angles_train_a_task_that_observes_poses_and_it_runs(
    station: Station, tmp_path: Path, tiny_task: Path
) -> None:
    path = tmp_path / "s"
    assert station("new", path, "--task", posed(tiny_task, tmp_path)).exit_code == 0
    rate = ("--colour", "rgb", "--rate", "20")
    unlabelled = sources.umi(tmp_path / "demos.zarr")
    one = ("--map", "camera.third=camera0_rgb", *rate, "--gripper", "0,0.08")
    assert "2 imported" in station("import", path, unlabelled, *one).output
    labelled = sources.hil_serl(tmp_path / "demos.pkl")
    other = ("--map", "camera.third=front", *rate, "--gripper", "0,1")
    assert "2 imported" in station("import", path, labelled, *other).output
    trained = station("train", path)
    assert trained.exit_code == 0, trained.output
    ran = station("run", path, "--headless", "--autopilot", "--episodes", 1)
    assert ran.exit_code == 0, ran.output
    assert json.loads(station("status", path, "--json").stdout)["episodes"] == 1


@pytest.mark.slow
def test_a_task_that_observes_joint_angles_says_which_setting_takes_a_source_without_them(
    station: Station, session: Path, tmp_path: Path
) -> None:
    sources.hil_serl(tmp_path / "demos.pkl")
    answers = ("--map", "camera.third=front", "--colour", "rgb", "--rate", "20", "--gripper", "0,1")
    result = station("import", session, tmp_path / "demos.pkl", *answers)
    said = " ".join(result.output.split())
    assert result.exit_code == 1
    assert '[cell] proprioception = "pose"' in said and "joints=KEY[0:6]" in said


@pytest.mark.slow
def test_a_demonstration_that_a_crash_has_torn_is_put_aside_and_imported_anew(
    station: Station, session: Path, tmp_path: Path
) -> None:
    source = sources.aloha(tmp_path / "episode_0.hdf5")
    assert station("import", session, source, *EVERYTHING).exit_code == 0
    (episode,) = (session / "demos" / "episodes").iterdir()
    (episode / "zarr.json").write_bytes(b"")
    assert "1 imported" in station("import", session, source).output
    assert (session / "demos" / "quarantine" / f"{episode.name}-0").is_dir()
    assert station("verify", session).exit_code == 0


@pytest.mark.slow
def test_a_verdict_is_declared_for_one_import_and_asked_for_where_none_is(
    station: Station, session: Path, tmp_path: Path
) -> None:
    source = sources.aloha(tmp_path / "episode_0.hdf5")
    asked = " ".join(station("import", session, source, *EVERYTHING).output.split())
    assert "say --outcome success|failure|unknown" in asked
    assert station("import", session, source, "--outcome", "success").exit_code == 0
    (status,) = Journal(session / "journal.jsonl").ledger().episodes.values()
    assert (status.outcome, status.by) == ("success", "import")
    assert "outcome" not in (session / "import.toml").read_text(), "the next folder may hold failures"


@pytest.mark.slow
def test_which_of_several_tasks_is_meant_is_asked_once_and_nothing_there_sets_the_exit_code(
    station: Station, session: Path, tmp_path: Path
) -> None:
    for number, task in enumerate(("pick it", "open it")):
        with h5py.File(sources.aloha(tmp_path / f"episode_{number}.hdf5", bgr=bool(number)), "r+") as file:
            file.attrs["instruction"] = task
    (tmp_path / "empty").mkdir()
    both = (tmp_path / "episode_0.hdf5", tmp_path / "episode_1.hdf5")
    asked = station("import", session, *both, *EVERYTHING)
    assert asked.exit_code == 1 and '--instruction "pick it"|"open it"|all' in " ".join(asked.output.split())
    words = ("--instruction", "open it", "--episodes", "0-1")
    taken = station("import", session, *both, tmp_path / "empty", *EVERYTHING, *words)
    said = " ".join(taken.output.split())
    assert taken.exit_code == 1 and "1 imported, 0 duplicates, 1 refused, 1 not chosen" in said
    assert "Nothing to import at" in said
    again = lines(station("import", session, *both, "--json").stdout)
    assert (again[-1]["duplicates"], again[-1]["passed_over"], again[-1]["refused"]) == (1, 1, 0)
