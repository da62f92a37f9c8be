"""Files in nobody's format: what is seen in them, a description to fill in, and reading as it says."""

from __future__ import annotations

import pickle
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from datasets.importers.files.description import NAME
from datasets.importers.findings import Finding
from datasets.importers.formats.described import describe
from datasets.importers.interface import Source
from datasets.importers.read.reader import Reader
from datasets.importers.read.registry import UnknownFormatError, format_named
from datasets.rotation import action_to_pose
from tests.datasets.importers import sources
from tests.datasets.importers.desk import Desk
from tests.datasets.importers.sources import POSE_SPEC, TICKS, T

MEANING = {
    "position": "ee[0:3]",
    "rotation": "ee[3:7]",
    "quaternion": "xyzw",
    "gripper": "grip",
    "closed": "0",
    "open": "1",
    "action.position": "cmd[0:3]",
    "action.rotation": "cmd[3:7]",
    "action.gripper": "cmd[7]",
    "action.closed": "0",
    "action.open": "1",
    "camera.front": "rgb",
    "colour": "rgb",
    "length": "m",
    "rate": "20",
}


def trajectory(number: int = 0) -> dict[str, Any]:
    grip = sources.opening(T)
    there = np.concatenate([sources.poses(T + 1 + 0.01 * number), grip[:, None]], 1)
    return {
        "ee": sources.poses(T + 0.01 * number),
        "grip": grip,
        "cmd": there,
        "rgb": np.moveaxis(sources.images(), -1, 1),
        "ok": np.array(number == 0),
    }


def npz(folder: Path) -> None:
    for number in range(2):
        np.savez(folder / f"episode_{number}.npz", **trajectory(number))


def grouped(folder: Path) -> None:
    with h5py.File(folder / "all.h5", "w") as file:
        for number in range(2):
            for name, values in trajectory(number).items():
                if name != "ok":
                    file[f"traj_{number}/{name}"] = values
            file[f"traj_{number}"].attrs["ok"] = number == 0


def end_to_end(folder: Path) -> None:
    both = [trajectory(number) for number in range(2)]
    with h5py.File(folder / "all.hdf5", "w") as file:
        for name in ("ee", "grip", "cmd", "rgb"):
            file[name] = np.concatenate([one[name] for one in both])
        file["meta/episode_ends"] = [TICKS, 2 * TICKS]
        file["ok"] = np.repeat([1.0, 0.0], TICKS)


def listed(folder: Path) -> None:
    (folder / "trajectories.pkl").write_bytes(pickle.dumps([trajectory(0), trajectory(1)]))


def stepwise(folder: Path) -> None:
    for number in range(2):
        whole = trajectory(number)
        steps = [
            {name: values[tick] for name, values in whole.items() if name != "ok"} for tick in range(TICKS)
        ]
        last = {"ok": float(number == 0)}
        content = [{**step, "ok": 0.0} for step in steps[:-1]] + [{**steps[-1], **last}]
        (folder / f"episode_{number}.pickle").write_bytes(pickle.dumps(content))


LAYOUTS: dict[str, tuple[Callable[[Path], None], str]] = {
    "npz": (npz, 'files = "*.npz"'),
    "grouped": (grouped, 'files = "*.h5"\nepisodes = "traj_*"'),
    "end to end": (end_to_end, 'files = "*.hdf5"\nends = "meta/episode_ends"'),
    "listed": (listed, 'files = "*.pkl"\nepisodes = "*"'),
    "stepwise": (stepwise, 'files = "*.pickle"'),
}


def description(layout: str, **more: str) -> str:
    entries = "\n".join(f'"{name}" = "{value}"' for name, value in {**MEANING, **more}.items())
    return f'{layout}\nsuccess = "ok"\ninstruction = "lift it"\n[map]\n{entries}\n'


@pytest.mark.parametrize("kind", LAYOUTS)
def test_files_are_read_as_their_description_says(tmp_path: Path, kind: str) -> None:
    make, layout = LAYOUTS[kind]
    desk = Desk(tmp_path, POSE_SPEC)
    make(desk.inbox)
    (desk.inbox / NAME).write_text(description(layout))
    results = desk.run()
    assert [(one.refused, one.finding.success) for one in results] == [(None, True), (None, False)]
    episode = desk.store.load(str(results[0].episode))
    position, quaternion, _ = action_to_pose(episode.action, POSE_SPEC.action)
    seen = TICKS - 1 - 2.0 * np.arange(episode.steps, -1, -1)
    expected = sources.poses(seen[1:])
    np.testing.assert_allclose(position, expected[:, :3], atol=2e-3)
    assert np.abs((quaternion * expected[:, 3:]).sum(1)).min() > 1 - 1e-4
    assert episode.images["front"][..., 2].mean() == pytest.approx(sources.BLUE)
    assert episode.header.source["attributes"]["instruction"] == "lift it"
    assert [one.duplicate for one in desk.run()] == [True, True]
    assert [one.instruction for one in Reader().find([desk.inbox]) if isinstance(one, Source)] == [
        "lift it"
    ] * 2


@pytest.mark.parametrize("kind", ["npz", "grouped", "end to end"])
def test_the_description_that_is_offered_needs_only_what_is_marked_in_it(tmp_path: Path, kind: str) -> None:
    make, _ = LAYOUTS[kind]
    desk = Desk(tmp_path, POSE_SPEC)
    make(desk.inbox)
    offered = describe(desk.inbox, POSE_SPEC)
    told = tomllib.loads(offered)
    assert told["map"] == {"camera.front": "rgb"}
    assert "rgb  [60, 3, 24, 32] uint8  (images)" in offered
    for question in ("rate", "colour", "position", "action.position"):
        assert f'# "{question}" = ' in offered
    entries = "\n".join(f'"{name}" = "{value}"' for name, value in MEANING.items() if name != "camera.front")
    (desk.inbox / NAME).write_text(f"{offered}{entries}\n")
    assert [one.refused for one in desk.run()] == [None, None]


def test_a_description_elsewhere_is_named_on_the_command(tmp_path: Path) -> None:
    npz(tmp_path)
    elsewhere = tmp_path / "mine" / "layout.toml"
    elsewhere.parent.mkdir()
    elsewhere.write_text(description(LAYOUTS["npz"][1]))
    found = Reader().find([tmp_path / "episode_1.npz"], f"described:{elsewhere}")
    assert [(one.path.name, one.key) for one in found] == [("episode_1.npz", "")]
    with pytest.raises(UnknownFormatError, match="there is no such file"):
        format_named(f"described:{tmp_path / 'nothing.toml'}")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('file = "*.npz"', "file: extra inputs are not permitted; it may hold files, episodes"),
        ('files = "*.npz"\n[map]\npositon = "ee"', "Did you mean 'position'?"),
        ("files = *.npz", "is not valid TOML"),
        ('files = "*.csv"', "no file here is called '*.csv'"),
        ('files = "*.npz"\nepisodes = "run_*"', "no group is called 'run_*'"),
        ('files = "*.npz"\nends = "stops"', "'stops' is missing"),
        ('files = "*.npz"\ntime = "clock"', "'clock' is missing"),
    ],
)
def test_a_description_that_means_nothing_is_answered_by_its_entry(
    tmp_path: Path, text: str, sentence: str
) -> None:
    desk = Desk(tmp_path, POSE_SPEC)
    npz(desk.inbox)
    (desk.inbox / NAME).write_text(text)
    assert sentence in str(desk.run()[0].refused)


def test_a_description_reaches_no_file_outside_its_folder(tmp_path: Path) -> None:
    npz(tmp_path)
    inside = tmp_path / "data"
    inside.mkdir()
    (inside / NAME).write_text(description('files = "../*.npz"'))
    desk = Desk(tmp_path / "desk", POSE_SPEC)
    assert [str(one.refused)[:16] for one in desk.run(inside)] == ["no file here is "]


def _arrays(path: Path) -> None:
    np.savez(path, qpos=np.zeros((9, 7)), action=np.zeros((9, 7)))


def _nested(path: Path) -> None:
    path.write_bytes(pickle.dumps({"obs": {"state": np.zeros((9, 7))}, "actions": [[1.0]] * 9}))


def _flat(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["observation/robot_state/x"], file["images"] = (
            np.zeros((9, 7)),
            np.zeros((9, 48, 64, 3), np.uint8),
        )


UNKNOWN: dict[str, tuple[Callable[[Path], None], str, str]] = {
    "e.npz": (_arrays, "qpos [9, 7]", "aloha"),
    "e.pkl": (_nested, "obs/state [9, 7]", "hil-serl"),
    "e.h5": (_flat, "images [9, 48, 64, 3] uint8", "droid"),
}


@pytest.mark.parametrize("name", UNKNOWN)
def test_an_unknown_file_is_answered_with_what_is_in_it_and_the_nearest_format(
    tmp_path: Path, name: str
) -> None:
    make, seen, nearest = UNKNOWN[name]
    make(tmp_path / name)
    (found,) = Reader().find([tmp_path / name])
    assert isinstance(found, Finding) and found.refused is not None
    assert seen in found.refused and f"nearest format is {nearest}" in found.refused
    assert "--describe" in found.refused
