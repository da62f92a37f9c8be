"""What a data set says of its own episodes is held against the rest of it; nothing that contradicts itself comes in."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from datasets.importers.defects import Defect
from datasets.importers.files.lerobot_index import Entry, contradictions, of_rows
from tests.datasets.importers import sources
from tests.datasets.importers.desk import Desk
from tests.datasets.importers.sources import ANSWERS, SPECS, TICKS

CAMERA = "observation.images.front"
VIDEO = f"videos/{CAMERA}"
Rows = list[dict[str, Any]]


def refused(desk: Desk) -> dict[str, str]:
    """key -> why, of what is refused for what a list says."""
    results = desk.run()
    assert all(result.refused is None or _is_index(result.finding.defects) for result in results), results
    return {result.finding.key: result.refused for result in results if result.refused is not None}


def _is_index(defects: Any) -> bool:
    return any(note.defect is Defect.INDEX for note in defects)


def listed(root: Path, change: Callable[[Rows], Rows | None]) -> None:
    """Change the list of episodes of a v3 set."""
    pq, pa = sources.needs("pyarrow.parquet"), sources.needs("pyarrow")
    (path,) = (root / "meta" / "episodes").rglob("*.parquet")
    rows = pq.read_table(path).to_pylist()
    pq.write_table(pa.Table.from_pylist(change(rows) or rows), path)


def lerobot(tmp_path: Path, version: str, *, episodes: int = 2) -> tuple[Desk, Path]:
    desk = Desk(tmp_path, SPECS["lerobot"], ANSWERS["lerobot"])
    return desk, sources.lerobot(desk.inbox / "set", version, episodes=episodes)


def test_episodes_that_claim_the_same_images_are_both_refused(tmp_path: Path) -> None:
    desk, root = lerobot(tmp_path, "v3.0", episodes=3)

    def merged(rows: Rows) -> None:
        for end in ("from", "to"):
            rows[1][f"{VIDEO}/{end}_timestamp"] = rows[0][f"{VIDEO}/{end}_timestamp"]

    listed(root, merged)
    found = refused(desk)
    assert found.keys() == {"0", "1"} and len(desk.store.ids()) == 1
    assert all("episodes 0 and 1 claim the same images" in text for text in found.values())
    assert "file 0 in chunk 0 overlap" in found["0"]


def test_a_camera_that_the_task_does_not_use_may_contradict_itself(tmp_path: Path) -> None:
    entries = [
        Entry(number=n, length=10, stretches={"front": ("a", float(n), n + 1.0), "side": ("b", 0.0, 1.0)})
        for n in (0, 1)
    ]
    assert {camera for _, camera in contradictions(entries, 10.0)} == {"side"}


def test_a_stretch_of_video_that_is_not_as_long_as_its_episode_is_refused(tmp_path: Path) -> None:
    desk, root = lerobot(tmp_path, "v3.0")

    def shortened(rows: Rows) -> None:
        rows[1][f"{VIDEO}/to_timestamp"] -= 0.5

    listed(root, shortened)
    found = refused(desk)
    assert found.keys() == {"1"}
    assert "is 50 frames at 20 Hz, and its length is 60" in found["1"]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda rows: rows[1].update(dataset_from_index=30, dataset_to_index=90), "have the same rows"),
        (lambda rows: rows[1].update(dataset_to_index=110), "rows 60 to 110, which are 50"),
        (lambda rows: [*rows, rows[1]], "episode 1 is listed 2 times"),
    ],
)
def test_a_list_whose_figures_contradict_each_other_is_not_believed(
    tmp_path: Path, change: Callable[[Rows], Any], sentence: str
) -> None:
    desk, root = lerobot(tmp_path, "v3.0")
    listed(root, change)
    assert sentence in refused(desk)["1"]


def test_rows_that_no_list_names_are_said(tmp_path: Path) -> None:
    desk, root = lerobot(tmp_path, "v3.0")
    listed(root, lambda rows: rows[:1])
    (text,) = [text for key, text in refused(desk).items() if not key and "does not list" in text]
    assert "file-000.parquet holds rows of episodes that meta/episodes does not list: 1" in text
    assert len(desk.store.ids()) == 1


def test_a_list_that_says_another_length_than_the_table_has_is_refused(tmp_path: Path) -> None:
    desk, root = lerobot(tmp_path, "v2.1")
    lines = [json.dumps({"episode_index": n, "length": TICKS - 20 * n, "tasks": ["lift"]}) for n in range(2)]
    (root / "meta" / "episodes.jsonl").write_text("\n".join(lines))
    assert refused(desk) == {
        "1": "its table holds 60 rows, and its list says 40; it was cut off or changed afterwards"
    }


def test_a_table_that_no_list_names_is_not_imported(tmp_path: Path) -> None:
    desk, root = lerobot(tmp_path, "v2.1")
    line = json.dumps({"episode_index": 0, "length": TICKS, "tasks": ["lift"]})
    (root / "meta" / "episodes.jsonl").write_text(line + "\n")
    found = refused(desk)
    assert found.keys() == {"1"} and "has a table but is not listed" in found["1"]


def test_more_episodes_than_there_are_are_said_and_the_others_come_in(tmp_path: Path) -> None:
    desk, root = lerobot(tmp_path, "v2.1")
    facts = json.loads((root / "meta" / "info.json").read_text())
    (root / "meta" / "info.json").write_text(json.dumps({**facts, "total_episodes": 5}))
    with (root / "meta" / "episodes.jsonl").open("a") as file:
        file.write("\n" + json.dumps({"episode_index": 7, "length": 3, "tasks": []}))
    said = [result.refused for result in desk.run() if result.refused]
    assert len(desk.store.ids()) == 2
    assert any("1 episode listed without a table: 7" in str(text) for text in said)
    assert any(
        "says that there are 5 episodes, and 3 are listed or have a table" in str(text) for text in said
    )


def test_two_tables_of_one_number_are_refused(tmp_path: Path) -> None:
    pq = sources.needs("pyarrow.parquet")
    desk, root = lerobot(tmp_path, "v2.1")
    table = pq.read_table(root / "data" / "chunk-000" / "episode_000001.parquet")
    (root / "data" / "chunk-001").mkdir()
    pq.write_table(table.slice(0, TICKS - 1), root / "data" / "chunk-001" / "episode_000001.parquet")
    assert "two tables are called episode 1" in refused(desk)["1"]
    said = of_rows(1, None, {"episode_index": np.zeros((TICKS, 1))}, TICKS)
    assert said is not None and "its rows say that they are of episode 0" in said


def test_rows_that_are_missing_in_the_middle_are_found_by_their_numbers(tmp_path: Path) -> None:
    desk, root = lerobot(tmp_path, "v3.0", episodes=1)
    pq = sources.needs("pyarrow.parquet")
    (path,) = (root / "data").rglob("*.parquet")
    table = pq.read_table(path)
    pq.write_table(table.filter(np.arange(table.num_rows) != 30), path)
    listed(root, lambda rows: [{**row, "length": TICKS - 1, "dataset_to_index": TICKS - 1} for row in rows])
    assert "'frame_index' is 31 in row 30" in refused(desk)["0"]


def replay(tmp_path: Path) -> tuple[Desk, Path]:
    desk = Desk(tmp_path, SPECS["diffusion-policy"], ANSWERS["diffusion-policy"])
    return desk, sources.umi(desk.inbox / "dataset.zarr")


@pytest.mark.parametrize("last", [130, 100])
def test_ends_of_episodes_that_are_not_those_of_the_rows_are_said(tmp_path: Path, last: int) -> None:
    import zarr

    desk, path = replay(tmp_path)
    group = zarr.open_group(path, mode="r+", zarr_format=2)["meta"]
    assert isinstance(group, zarr.Group)
    group.create_array("episode_ends", data=np.array([60, last]), compressors=None, overwrite=True)
    found = refused(desk)
    if last > 2 * TICKS:
        assert found.keys() == {"1"} and "has 120 rows" in found["1"] and "ends at 130" in found["1"]
    else:
        assert "20 rows after the last end" in found[""] and len(desk.store.ids()) == 2


def test_images_whose_file_is_missing_are_not_read_as_black(tmp_path: Path) -> None:
    desk, path = replay(tmp_path)
    (path / "data" / "camera0_rgb" / "75.0.0.0").unlink()
    first, second = desk.run()
    assert first.refused is None
    assert "images 75 and on of 'camera0_rgb' is missing" in str(second.refused)


def test_a_demonstration_whose_own_count_is_another_is_refused(tmp_path: Path) -> None:
    desk = Desk(tmp_path, SPECS["robomimic"])
    path = sources.robomimic(desk.inbox / "set.hdf5", demos=3)
    with h5py.File(path, "r+") as file:
        file["data/demo_1"].attrs["num_samples"] = 80
        del file["data/demo_2"]
        file["mask/train"] = np.array(["demo_0", "demo_2"], dtype="S")
    found = [(result.finding.key, str(result.refused)) for result in desk.run() if result.refused]
    assert [key for key, _ in found] == ["demo_1", "", ""]
    assert "'num_samples' says 80, and 'actions' holds 60" in found[0][1]
    assert "'mask/train' names 1 demonstration that are not in it: demo_2" in found[1][1]
    assert "180 samples in all, and its demonstrations have 140" in found[2][1]


def test_a_trajectory_beside_another_ones_metadata_is_refused(tmp_path: Path) -> None:
    desk = Desk(tmp_path, SPECS["droid"])
    (path,) = sources.droid(desk.inbox).glob("metadata_*.json")
    facts = json.loads(path.read_text())
    path.write_text(json.dumps({**facts, "trajectory_length": TICKS}))
    assert desk.looks(desk.inbox)[0].finding.refused is None
    path.write_text(json.dumps({**facts, "trajectory_length": 3 * TICKS}))
    assert "its metadata say that it has 180 steps, and it holds 60" in refused(desk)[""]


def test_transitions_of_which_one_does_not_lead_to_the_next_are_no_episode(tmp_path: Path) -> None:
    desk = Desk(tmp_path, SPECS["hil-serl"], ANSWERS["hil-serl"])
    path = sources.hil_serl(desk.inbox / "demos.pkl")
    transitions = pickle.loads(path.read_bytes())
    path.write_bytes(pickle.dumps(transitions[:30] + transitions[40:]))
    found = refused(desk)
    assert found.keys() == {"0"} and "transition 29 leads to another 'state'" in found["0"]
