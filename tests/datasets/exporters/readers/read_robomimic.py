"""Runs in robomimic's environment: every step that SequenceDataset gives, and how many each filter key holds."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from robomimic.utils import obs_utils
from robomimic.utils.dataset import SequenceDataset


def open_dataset(path: str, cameras: list[str], key: str | None, length: int = 1) -> SequenceDataset:
    return SequenceDataset(
        hdf5_path=path,
        obs_keys=("proprioception", *cameras),
        dataset_keys=("actions", "rewards", "dones"),
        frame_stack=1,
        seq_length=length,
        pad_seq_length=True,
        load_next_obs=True,
        hdf5_cache_mode=None,
        filter_by_attribute=key,
    )


def main(path: str, out: str, *cameras: str) -> None:
    specs = {"obs": {"low_dim": ["proprioception"], "rgb": list(cameras)}}
    obs_utils.initialize_obs_utils_with_obs_specs(specs)
    dataset = open_dataset(path, list(cameras), None)
    items = [dataset[index] for index in range(len(dataset))]
    found: dict[str, Any] = {
        key: np.concatenate([item[key] for item in items]) for key in ("actions", "rewards", "dones")
    }
    for group in ("obs", "next_obs"):
        for key in ("proprioception", *cameras):
            found[f"{group}/{key}"] = np.concatenate([item[group][key] for item in items])
    for key in ("train", "valid", "success"):
        chosen = open_dataset(path, list(cameras), key)
        found[f"mask/{key}"] = np.array([chosen.n_demos, len(chosen)])
    found["window"] = open_dataset(path, list(cameras), None, length=3)[0]["actions"]
    np.savez(out, **found)


if __name__ == "__main__":
    main(*sys.argv[1:])
