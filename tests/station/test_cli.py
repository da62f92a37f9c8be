"""The command line as a script or a newcomer meets it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import h5py
import pytest

from datasets.journal.journal import Journal
from datasets.lock import WriterLock
from station.cli import app
from station.session.folder import SessionFolder
from tests.station.conftest import Station
from tests.station.recorded import recorded


def first_episode(session: SessionFolder) -> str:
    return next(iter(Journal(session.journal).ledger().episodes))


def test_help_loads_nothing_heavy() -> None:
    program = (
        "import sys, station.cli;"
        "print(sorted({'torch', 'mujoco', 'textual', 'zarr', 'numpy', 'pydantic'} & set(sys.modules)))"
    )
    child = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert child.stdout.strip() == "[]"


@pytest.mark.slow
@pytest.mark.parametrize(
    "words", [("review", "SESSION", "--list"), ("tasks",), ("verify", "SESSION"), ("status", "SESSION")]
)
def test_a_command_whose_reader_has_closed_the_pipe_ends_quietly(
    tmp_path: Path, words: tuple[str, ...]
) -> None:
    session = recorded(tmp_path / "orange-1")
    reading, writing = os.pipe()
    os.close(reading)
    arguments = [str(session.path) if word == "SESSION" else word for word in words]
    with os.fdopen(writing, "wb") as pipe:
        command = [sys.executable, "-m", "station", *arguments]
        ended = subprocess.run(command, check=False, stdout=pipe, stderr=subprocess.PIPE, text=True)
    assert (ended.stderr, ended.returncode) == ("", 141)


def test_help_documents_the_exit_codes(station: Station) -> None:
    shown = station("--help")
    assert shown.exit_code == 0
    assert "Exit codes" in shown.output


@pytest.mark.parametrize("command", [command.name for command in app.registered_commands])
def test_every_command_explains_itself(station: Station, command: str) -> None:
    shown = station(command, "--help")
    assert shown.exit_code == 0
    assert "Usage: station" in shown.output


@pytest.mark.parametrize("words", [("home",), ("run", "SESSION")])
def test_without_a_terminal_the_ui_says_so_and_ends(
    station: Station, session: SessionFolder, words: tuple[str, ...]
) -> None:
    result = station(*(session.path if word == "SESSION" else word for word in words))
    assert result.exit_code == 2
    assert "needs a terminal" in " ".join(result.output.split())
    assert "\x1b[?1049h" not in result.output


def test_attaching_where_no_engine_runs_says_how_to_start_one(
    station: Station, session: SessionFolder
) -> None:
    result = station("attach", session.path)
    assert result.exit_code == 2
    assert "No engine runs" in result.output and "station run" in result.output


def test_one_damaged_session_hides_none_of_the_others(
    station: Station, session: SessionFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STATION_SESSIONS", str(session.path.parent))
    broken = session.path.parent / "broken"
    broken.mkdir()
    (broken / "session.toml").write_text("this = is not [ toml")
    listed = station("status")
    assert listed.exit_code == 0
    assert session.path.name in listed.output and "broken" in listed.output and "damaged" in listed.output


def test_every_command_of_an_operator_stands_in_the_help(station: Station) -> None:
    shown = station("--help").output
    assert all(f"│ {command.name} " in shown for command in app.registered_commands)


def test_a_misspelt_device_is_a_sentence_and_trains_nothing(station: Station, session: SessionFolder) -> None:
    result = station("train", session.path, "--device", "cud")
    assert result.exit_code == 2 and "Did you mean 'cuda'?" in " ".join(result.output.split())


def test_a_recording_that_is_not_there_is_not_answered_with_all_others(
    station: Station, session: SessionFolder
) -> None:
    name = first_episode(session)
    listed = station("review", session.path, "--list", "--episode", name)
    assert listed.exit_code == 0 and len(listed.output.splitlines()) == 1
    missing = station("review", session.path, "--list", "--episode", "online-999999")
    assert missing.exit_code == 2 and "online-999999" in missing.output


def test_a_misspelt_command_is_answered_with_the_nearest(station: Station) -> None:
    result = station("statsu")
    assert result.exit_code == 2
    assert "status" in result.output


def test_an_unknown_task_is_answered_with_the_nearest(station: Station, tmp_path: Path) -> None:
    result = station("new", tmp_path / "s", "--task", "place-ornage")
    assert result.exit_code == 2
    assert "place-orange" in result.output
    assert "Traceback" not in result.output
    assert not (tmp_path / "s").exists()


def test_an_unknown_session_is_answered_with_the_nearest(
    station: Station, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_task: Path
) -> None:
    monkeypatch.setenv("STATION_SESSIONS", str(tmp_path))
    assert station("new", "oranges", "--task", tiny_task).exit_code == 0
    result = station("status", "orange")
    assert result.exit_code == 2
    assert "oranges" in result.output


def test_a_new_session_counts_nothing(station: Station, tmp_path: Path, tiny_task: Path) -> None:
    station("new", tmp_path / "s", "--task", tiny_task, "--seed", 5)
    facts = json.loads(station("status", tmp_path / "s", "--json").stdout)
    assert facts["state"] == "empty"
    assert (facts["demos"], facts["episodes"], facts["base_success"], facts["eval"]) == (0, 0, None, [])
    assert SessionFolder.open(tmp_path / "s").seed == 5


def test_a_new_session_needs_a_name_and_is_named_as_a_shell_takes_it(
    station: Station, tmp_path: Path, tiny_task: Path
) -> None:
    assert station("new", "", "--task", tiny_task).exit_code == 2
    made = station("new", tmp_path / "two words", "--task", tiny_task)
    assert f"import '{tmp_path}/two words' RECORDINGS" in made.output.replace("\n", "")


def test_a_session_is_never_made_twice(station: Station, session: SessionFolder, tiny_task: Path) -> None:
    before = (session.path / "session.toml").read_bytes()
    assert station("new", session.path, "--task", tiny_task).exit_code == 1
    assert (session.path / "session.toml").read_bytes() == before


def test_status_of_a_trained_session_comes_from_its_folder(station: Station, session: SessionFolder) -> None:
    facts = json.loads(station("status", session.path, "--json").stdout)
    assert facts["state"] == "trained"
    assert facts["demos"] == 2
    assert facts["base"]["n"] == 2


def test_a_session_of_a_newer_station_is_refused_untouched(station: Station, session: SessionFolder) -> None:
    file = session.path / "session.toml"
    file.write_text(file.read_text().replace("schema = 1", "schema = 99"))
    before = {path: path.stat().st_mtime_ns for path in session.path.rglob("*")}
    result = station("run", session.path, "--headless", "--autopilot")
    assert result.exit_code == 4
    assert "newer" in result.output
    assert {path: path.stat().st_mtime_ns for path in session.path.rglob("*")} == before


def test_a_held_session_is_refused_with_the_holders_pid(station: Station, session: SessionFolder) -> None:
    with WriterLock(session.lock):
        result = station("label", session.path, first_episode(session), "failure")
    assert result.exit_code == 3
    assert "process" in result.output


def test_mistakes_under_json_are_json(station: Station, tmp_path: Path) -> None:
    result = station("status", tmp_path / "nothing", "--json")
    line = json.loads(result.stdout)
    assert line["event"] == "error"
    assert line["exit_code"] == result.exit_code == 2


def test_headless_without_autopilot_is_refused(station: Station, session: SessionFolder) -> None:
    assert station("run", session.path, "--headless").exit_code == 2


def test_labels_can_be_changed_voided_and_restored_offline(station: Station, session: SessionFolder) -> None:
    name = first_episode(session)

    def stands() -> tuple[object, bool, str]:
        status = Journal(session.journal).ledger().episodes[name]
        return status.outcome, status.void, status.by

    station("label", session.path, name, "failure")
    assert stands() == ("failure", False, "command")
    station("label", session.path, name, "void")
    assert stands() == ("failure", True, "command")
    station("label", session.path, name, "restore")
    station("label", session.path, name, "undo")
    assert stands() == ("success", False, "command"), "a demonstration has its recorder's label again"


def test_a_label_never_lands_on_another_episode(station: Station, session: SessionFolder) -> None:
    before = session.journal.read_bytes()
    assert station("label", session.path, "demo-0", "success").exit_code == 2
    assert station("label", session.path, first_episode(session), "sucess").exit_code == 2
    assert session.journal.read_bytes() == before


def test_verify_finds_damage_and_sets_it_aside(station: Station, session: SessionFolder) -> None:
    assert station("verify", session.path).exit_code == 0
    name = first_episode(session)
    files = [path for path in (session.demos / "episodes" / name).rglob("*") if path.is_file()]
    victim = max(files, key=lambda path: path.stat().st_size)
    data = bytearray(victim.read_bytes())
    data[len(data) // 2] ^= 1
    victim.write_bytes(bytes(data))
    looked = station("verify", session.path, "--look-only", "--json")
    assert (looked.exit_code, json.loads(looked.stdout)["moved"]) == (1, [])
    report = station("verify", session.path, "--json")
    assert report.exit_code == 1
    assert name in report.stdout
    again = station("verify", session.path)
    assert again.exit_code == 0
    assert f"Lost: 1 episode ({name})" in again.stdout
    assert not (session.demos / "episodes" / name).exists()
    assert list((session.demos / "quarantine").iterdir())


def test_verify_of_a_new_session_is_no_alarm(station: Station, tmp_path: Path, tiny_task: Path) -> None:
    station("new", tmp_path / "s", "--task", tiny_task)
    assert station("verify", tmp_path / "s").exit_code == 0


@pytest.mark.slow
def test_import_refuses_broken_files_one_by_one_and_adds_nothing_twice(
    station: Station, session: SessionFolder, tmp_path: Path, tiny_task: Path
) -> None:
    inbox, fresh = session.path / "recordings", tmp_path / "fresh"
    (inbox / "broken.h5").write_bytes(b"no recording")
    station("new", fresh, "--task", tiny_task)
    result = station("import", fresh, inbox, "--json")
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert result.exit_code == 0
    assert lines[-1] == {
        "event": "done",
        "imported": 2,
        "duplicates": 0,
        "passed_over": 0,
        "refused": 1,
        "defects": {"unreadable": {"refused": 1}},
    }
    assert [line["file"] for line in lines if line["event"] == "result" and line["refused"]] == [
        str(inbox / "broken.h5")
    ]
    again = json.loads(station("import", fresh, inbox, "--json").stdout.splitlines()[-1])
    assert (again["imported"], again["duplicates"]) == (0, 2)
    assert json.loads(station("status", fresh, "--json").stdout)["demos"] == 2


@pytest.mark.slow
def test_a_dry_import_writes_nothing(
    station: Station, session: SessionFolder, tmp_path: Path, tiny_task: Path
) -> None:
    station("new", tmp_path / "fresh", "--task", tiny_task)
    result = station("import", tmp_path / "fresh", session.path / "recordings", "--dry-run", "--json")
    findings = [json.loads(line) for line in result.stdout.splitlines()]
    assert sum(line["event"] == "finding" and line["usable"] for line in findings) == 2
    assert not (tmp_path / "fresh" / "journal.jsonl").exists()


def test_import_of_nothing_is_a_sentence(station: Station, session: SessionFolder, tmp_path: Path) -> None:
    assert station("import", session.path, tmp_path / "nowhere").exit_code == 2


def test_export_writes_a_file_once(station: Station, session: SessionFolder, tmp_path: Path) -> None:
    out = tmp_path / "out.hdf5"
    assert station("export", session.path, "--format", "robomimic", "--out", out).exit_code == 0
    with h5py.File(out) as file:
        assert len(file["data"]) == 2
    assert "2 episodes" in (tmp_path / "out.README.md").read_text()
    assert station("export", session.path, "--out", out).exit_code == 1
    assert station("export", session.path, "--format", "robomimc", "--out", tmp_path / "x").exit_code == 2


def test_export_takes_the_episodes_that_are_meant(
    station: Station, session: SessionFolder, tmp_path: Path
) -> None:
    name = first_episode(session)
    out = tmp_path / "one"
    written = station(
        "export", session.path, "--format", "zarr", "--where", f"id={name}", "--out", out, "--json"
    )
    assert written.exit_code == 0
    done = json.loads(written.stdout.splitlines()[-1])
    assert (done["event"], done["episodes"], done["left_out"]) == ("done", 1, {"not chosen": 1})
    assert [path.name for path in (out / "episodes").iterdir()] == [name]


def test_a_slip_in_where_is_answered_with_the_nearest(
    station: Station, session: SessionFolder, tmp_path: Path
) -> None:
    refused = station("export", session.path, "--where", "sucess", "--out", tmp_path / "x")
    assert refused.exit_code == 2
    assert "success" in refused.output
    assert not (tmp_path / "x").exists()
