"""What `check_exporter` does not see: what an export says, its card, a full disk, a power cut, another export."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from datasets.episode import Episode, Outcome
from datasets.exporters import EXPORTERS, Exporter, exporter
from datasets.exporters.interface import ExportError
from datasets.exporters.source import ExportSource
from datasets.exporters.staging import Workplace
from datasets.lock import LockedError
from tests.datasets.exporters.conftest import MakeSource, content

THREE = [Outcome.SUCCESS, Outcome.FAILURE, None]


@pytest.fixture(params=sorted(EXPORTERS))
def format_name(request: pytest.FixtureRequest) -> str:
    if request.param == "lerobot":
        for package in ("pyarrow", "av"):
            pytest.importorskip(package, reason="pip install 'station[formats]'")
    return str(request.param)


def _hidden(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if path.name.startswith(".")]


def test_what_was_written_before_a_power_cut_is_not_taken_up(
    tmp_path: Path, make_source: MakeSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, out = make_source(THREE), tmp_path / "out"

    def cut_off(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Workplace, "publish", cut_off)
        with pytest.raises(KeyboardInterrupt):
            exporter("zarr").export(source, out)
    state = tmp_path / ".out.partial" / "state.json"
    state.write_text(json.dumps({**json.loads(state.read_text()), "boot": "an earlier one"}))
    assert exporter("zarr").export(source, out).resumed == 0


def test_nothing_is_replaced_unasked_and_force_replaces_exports_only(
    tmp_path: Path, make_source: MakeSource, format_name: str
) -> None:
    source, out = make_source(THREE), tmp_path / "out"
    exporter(format_name).export(source, out)
    before = content(out)
    with pytest.raises(ExportError, match="--force"):
        exporter(format_name).export(source, out)
    assert content(out) == before
    exporter(format_name).export(make_source([Outcome.SUCCESS], name="other"), out, force=True)
    assert content(out) != before
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "thesis.tex").write_text("years of work")
    with pytest.raises(ExportError, match=f"{precious} (was not written by an export|is not a file)"):
        exporter(format_name).export(source, precious, force=True)
    assert (precious / "thesis.tex").exists()


def test_a_second_export_to_the_same_place_is_refused_while_the_first_works(
    tmp_path: Path, make_source: MakeSource
) -> None:
    source, out = make_source(THREE), tmp_path / "out"
    with Workplace(out, "the first", single=False), pytest.raises(LockedError):
        exporter("zarr").export(source, out)


def test_a_full_disk_is_a_sentence_and_costs_only_the_episode_at_hand(
    tmp_path: Path, make_source: MakeSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, out = make_source(THREE), tmp_path / "out"
    whole = EXPORTERS["zarr"].add

    def add(self: Exporter, work: Workplace, source: ExportSource, index: int) -> None:
        if index == 2:
            raise OSError(28, "No space left on device")
        whole(self, work, source, index)

    with monkeypatch.context() as patched:
        patched.setattr(EXPORTERS["zarr"], "add", add)
        with pytest.raises(ExportError, match="run the same command to resume"):
            exporter("zarr").export(source, out)
    assert exporter("zarr").export(source, out).resumed == 2


def test_a_place_where_nothing_can_be_written_is_a_sentence(tmp_path: Path, make_source: MakeSource) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(
        ExportError,
        match=r"Nothing can be written to .*file \(not a directory\). Choose another place for x\.",
    ):
        exporter("zarr").export(make_source(THREE), tmp_path / "file" / "x")


def test_the_card_counts_what_was_written_and_says_why_the_rest_was_not(
    tmp_path: Path, make_source: MakeSource, format_name: str
) -> None:
    source = make_source(
        [Outcome.SUCCESS, Outcome.FAILURE, "void", None, Outcome.SUCCESS], where="not failure and steps<10"
    )
    out = tmp_path / "data.set"
    exporter(format_name).export(source, out)
    card = (out / "README.md" if out.is_dir() else tmp_path / "data.README.md").read_text()
    for fact in (
        "2 episodes, 15 steps (6 to 9 each)",
        "Successes among the 1 judged episode: 100.0%",
        "Left out: 2 not chosen, 1 void.",
        "| success | 1 |",
        "| pending | 1 |",
        "| online | 2 | 1 |",
        "uint8 RGB [8, 10, 3]",
        "10 Hz",
        "joint_1, joint_2, gripper",
        "chosen by: `not failure and steps<10`",
        "Place the orange on the juicer",
        "data.set",
    ):
        assert fact in card


def test_nothing_to_export_says_what_became_of_the_episodes(make_source: MakeSource) -> None:
    with pytest.raises(ExportError, match="1 not chosen, 1 void"):
        make_source([Outcome.SUCCESS, "void"], where="failure")


def test_episodes_of_different_specs_go_out_as_they_are_or_not_at_all(
    tmp_path: Path, make_source: MakeSource, format_name: str
) -> None:
    def faster(episode: Episode) -> Episode:
        spec = replace(episode.header.spec, control_hz=10.0 + episode.header.ordinal)
        return replace(episode, header=replace(episode.header, spec=spec))

    source = make_source([Outcome.SUCCESS] * 2, change=faster)
    if format_name == "zarr":
        assert exporter(format_name).export(source, tmp_path / "out").episodes == 2
    else:
        with pytest.raises(ExportError, match="online-000001 has other cameras"):
            exporter(format_name).export(source, tmp_path / "out")
        assert _hidden(tmp_path) == []


def test_a_misspelt_format_names_the_nearest() -> None:
    with pytest.raises(ExportError, match="Did you mean 'robomimic'"):
        exporter("robomimik")


def test_a_missing_package_is_named_with_the_line_that_brings_it(
    tmp_path: Path, make_source: MakeSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    def find_spec(name: str, *_more: Any) -> object | None:
        return None if name == "pyarrow" else object()

    monkeypatch.setattr("importlib.util.find_spec", find_spec)
    with pytest.raises(ExportError, match=r"needs pyarrow: pip install 'station\[formats\]'"):
        exporter("lerobot").export(make_source(), tmp_path / "out")
