"""What an import does not need costs nothing: other cameras, other lists; what was not downloaded is named."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from datasets.importers.findings import Finding
from datasets.importers.read.reader import Reader
from tests.datasets.importers import sources
from tests.datasets.importers.desk import Desk
from tests.datasets.importers.sources import ANSWERS, MAKERS, SPECS, needs


def _spoil_lerobot(inbox: Path) -> None:
    import json

    (info,) = inbox.rglob("info.json")
    facts = json.loads(info.read_text())
    facts["features"]["observation.images.other"] = facts["features"]["observation.images.front"]
    info.write_text(json.dumps(facts))


def _spoil_droid(inbox: Path) -> None:
    (video,) = inbox.rglob("*.mp4")
    video.with_name("111.mp4").write_bytes(video.read_bytes()[:200])


def _spoil_aloha(inbox: Path) -> None:
    (path,) = inbox.iterdir()
    with h5py.File(path, "r+") as file:
        file["observations/images/other"] = np.zeros((60, 7))


def _spoil_robomimic(inbox: Path) -> None:
    (path,) = inbox.iterdir()
    with h5py.File(path, "r+") as file:
        for demo in file["data"].values():
            demo["obs/other_image"] = np.zeros((60, 0, 3, 3), np.uint8)


SPOILERS: dict[str, tuple[str, Callable[[Path], None]]] = {
    "lerobot-v2.1": ("observation.images.other", _spoil_lerobot),
    "droid": ("wrist", _spoil_droid),
    "aloha": ("other", _spoil_aloha),
    "robomimic": ("other_image", _spoil_robomimic),
}


@pytest.mark.parametrize("kind", SPOILERS)
def test_a_camera_that_is_missing_or_damaged_costs_only_the_task_that_uses_it(
    tmp_path: Path, kind: str
) -> None:
    name, make = MAKERS[kind]
    camera, spoil = SPOILERS[kind]
    front = {"lerobot": "observation.images.front", "droid": "ext1", "aloha": "cam_high"}.get(
        name, "front_image"
    )
    desk = Desk(tmp_path, SPECS[name], {**ANSWERS[name], "camera.front": front})
    make(desk.inbox)
    spoil(desk.inbox)
    assert {result.refused for result in desk.run()} == {None}
    other = Desk(tmp_path / "other", SPECS[name], {**ANSWERS[name], "camera.front": camera})
    make(other.inbox)
    spoil(other.inbox)
    assert all(result.refused for result in other.run())


def test_a_damaged_list_costs_the_episodes_that_it_alone_names(tmp_path: Path) -> None:
    pq = needs("pyarrow.parquet")
    desk = Desk(tmp_path, SPECS["lerobot"], ANSWERS["lerobot"])
    root = sources.lerobot(desk.inbox / "set", "v3.0")
    whole = root / "meta" / "episodes" / "chunk-000" / "file-000.parquet"
    rows = pq.read_table(whole)
    pq.write_table(rows.slice(0, 1), whole)
    torn = whole.with_name("file-001.parquet")
    pq.write_table(rows.slice(1, 1), torn)
    torn.write_bytes(torn.read_bytes()[:300])
    sound, lost = desk.run()
    assert sound.refused is None and sound.finding.key == "0"
    assert lost.refused is not None and "meta/episodes/chunk-000/file-001.parquet" in lost.refused
    whole.write_bytes(b"")
    (root / "meta" / "info.json").touch()
    (both,) = desk.run()
    assert both.refused is not None, "with no list left there are no episodes"


POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 82515\n"


@pytest.mark.parametrize("kind", MAKERS)
def test_pointers_of_git_lfs_are_named_with_the_command_that_brings_the_content(
    tmp_path: Path, kind: str
) -> None:
    name, make = MAKERS[kind]
    desk = Desk(tmp_path, SPECS[name], ANSWERS[name])
    make(desk.inbox)
    large = [path for path in desk.inbox.rglob("*") if path.is_file() and path.stat().st_size > 1000]
    for path in large or [path for path in desk.inbox.rglob("*") if path.is_file()]:
        path.write_bytes(POINTER)
    refused = [one.refused for one in desk.run()]
    assert refused and all(text is not None and "git lfs pull" in text for text in refused)


def test_links_that_git_annex_left_are_named_too(tmp_path: Path) -> None:
    (tmp_path / "episode_0.hdf5").symlink_to(".git/annex/objects/aa/bb/SHA256E-s1.hdf5")
    (found,) = Reader().find([tmp_path])
    assert isinstance(found, Finding) and "git annex get" in str(found.refused)
