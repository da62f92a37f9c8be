"""Which device a command computes on: its option, the operator's config file, or what is there."""

from __future__ import annotations

from pathlib import Path

import pytest

from datasets.errors import UsageError
from policy.devices import DeviceError, choose
from station.compute import device_name
from station.operator_config import KeyConfigError
from station.session.folder import SessionFolder
from tests.policy.pretend_gpu import pretend_gpu
from tests.station.conftest import Station, sentences


def _config(folder: Path, text: str) -> Path:
    path = folder / "config.toml"
    path.write_text(text)
    return path


def test_the_option_comes_before_the_config_file_and_that_before_auto(tmp_path: Path) -> None:
    path = _config(tmp_path, '[compute]\ndevice = "cuda:1"\n')
    assert device_name("cpu", path) == "cpu"
    assert device_name(None, path) == "cuda:1"
    assert device_name(None, tmp_path / "none.toml") == "auto"


@pytest.mark.parametrize("name", ["gpu", "cuda:x", "cuda1", "", "CPU", "cuda:0\n"])
def test_a_device_that_does_not_exist_is_refused_with_those_that_do(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="no such device"):
        device_name(name, tmp_path / "none.toml")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[compute]\ndevice = 3\n", "no such device"),
        ('[compute]\ndevise = "cpu"\n', "Did you mean 'device'"),
        ("compute = 3\n", "must be a table"),
    ],
)
def test_a_mistake_in_the_config_file_is_named(tmp_path: Path, text: str, said: str) -> None:
    path = _config(tmp_path, text)
    with pytest.raises(UsageError, match=said) as caught:
        device_name(None, path)
    assert str(path) in str(caught.value)
    assert isinstance(caught.value, KeyConfigError) or "device" in str(caught.value)


@pytest.mark.slow
def test_a_gpu_that_is_not_there_is_refused(station: Station, session: SessionFolder) -> None:
    trained = session.path
    result = station("run", trained, "--headless", "--autopilot", "--device", "cuda")
    assert result.exit_code == 1 and "finds no CUDA GPU" in sentences(result), result.output
    result = station("train", trained, "--device", "cuda")
    assert result.exit_code == 1 and "finds no CUDA GPU" in sentences(result), result.output
    assert "--device cpu" in sentences(result)
    result = station("train", trained, "--device", "gpu")
    assert result.exit_code == 2 and "no such device" in sentences(result)


def test_the_gpus_that_there_are_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with pretend_gpu(monkeypatch), pytest.raises(DeviceError, match=r"no cuda:1: torch finds 1 \(Pretend"):
        choose("cuda:1")


def test_a_card_without_kernels_is_named_and_auto_does_without_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: object) -> None:
        raise RuntimeError("CUDA error: no kernel image is available for execution on the device\nmore")

    with pretend_gpu(monkeypatch):
        monkeypatch.setattr("policy.devices._try", refuse)
        with pytest.raises(DeviceError, match=r"Pretend.*no kernel image.*torch wheel for this card"):
            choose("cuda")
        found = choose("auto")
    assert found.device.type == "cpu" and "no kernel image" in found.words
