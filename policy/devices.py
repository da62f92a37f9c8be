"""The device that networks compute on: chosen once per process, and tried before anything relies on it.

What a network computes differs between devices in the last bits, so a session repeats itself only on the same one.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch

from datasets.errors import StationError, UsageError
from datasets.wording import did_you_mean

AUTO = "auto"
NAMES = (AUTO, "cpu", "cuda")
GIB = 2**30


class DeviceError(StationError):
    """A device that was asked for cannot be used; the message says why and what can."""


@dataclass(frozen=True, kw_only=True)
class Choice:
    """A device, and why this one."""

    device: torch.device
    words: str
    """For a log or a report, such as "the GPU NVIDIA H200 (cuda:0, 139.8 GiB)"."""


def choose(name: str = AUTO) -> Choice:
    """The device called `name`: cpu, cuda, cuda:N, or auto, which takes a GPU if there is one that works.

    Raises:
        UsageError: there is no such name.
        DeviceError: this GPU is not there, or torch cannot compute on it.
    """
    kind, _, number = name.partition(":")
    if kind not in NAMES or (number and (kind != "cuda" or not number.isdecimal())):
        hint = did_you_mean(name, NAMES, "Use auto, cpu, cuda or cuda:N.")
        raise UsageError(f"There is no device {name!r}.", remedy=hint)
    if kind == "cpu":
        return Choice(device=torch.device("cpu"), words="the CPU")
    if kind == AUTO:
        return _automatic()
    return _gpu(int(number or 0))


def cores() -> int:
    """Processor cores that this process may use; two hardware threads of one core count once."""
    allowed = len(os.sched_getaffinity(0))
    try:
        shared = Path("/sys/devices/system/cpu/smt/active").read_text(encoding="ascii").strip() == "1"
    except OSError:
        shared = False
    return max(1, allowed // 2 if shared else allowed)


@contextmanager
def cpu_threads(number: int | None) -> Iterator[None]:
    """Torch computes with this many threads within the context; None: as many as before."""
    before = torch.get_num_threads()
    if number in (None, before):
        yield
        return
    torch.set_num_threads(number or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def gpus() -> list[str]:
    """The GPUs that torch finds, in words."""
    return [_described(index) for index in range(torch.cuda.device_count())] if _available() else []


def failure(error: BaseException) -> str:
    """What an error of a GPU means for the operator, with a remedy; empty if `error` is none."""
    if isinstance(error, torch.cuda.OutOfMemoryError):
        return (
            "The GPU has too little free memory for this. End what else computes on it (nvidia-smi lists it), or lower "
            "[training] batch or [steering] batch in the task file; --device cpu does without it."
        )
    if isinstance(error, torch.AcceleratorError) or (
        isinstance(error, RuntimeError) and str(error).startswith(("CUDA error", "cuDNN error"))
    ):
        first = str(error).splitlines()[0]
        return (
            f"The GPU failed ({first}). Everything up to the last checkpoint is kept: run the command again, with "
            "--device cpu if the GPU stays away."
        )
    return ""


def _available() -> bool:
    return bool(torch.cuda.is_available())


def _automatic() -> Choice:
    if not _available():
        return Choice(device=torch.device("cpu"), words="the CPU (torch finds no CUDA GPU)")
    try:
        return _gpu(0)
    except DeviceError as error:
        return Choice(device=torch.device("cpu"), words=f"the CPU. {error}")


def _gpu(index: int) -> Choice:
    if not _available():
        built = "this torch is built for the CPU alone" if torch.version.cuda is None else "no driver answers"
        raise DeviceError(
            f"torch {torch.__version__} finds no CUDA GPU ({built}). Use --device cpu; 'station doctor' says more."
        )
    count = torch.cuda.device_count()
    if index >= count:
        raise DeviceError(
            f"There is no cuda:{index}: torch finds {count} ({', '.join(gpus())}). Use one of these, or --device cpu."
        )
    device = torch.device("cuda", index)
    try:
        _try(device)
    except RuntimeError as error:
        raise DeviceError(_unusable(index, error)) from error
    return Choice(device=device, words=f"the GPU {_described(index)}")


def _try(device: torch.device) -> None:
    """One convolution and one product, whose kernels a torch build may lack for a card."""
    image = torch.ones(1, 3, 8, 8, device=device)
    value = torch.nn.functional.conv2d(image, torch.ones(4, 3, 3, 3, device=device)).flatten(1)
    float((value @ value.T).sum())


def _unusable(index: int, error: RuntimeError) -> str:
    if isinstance(error, torch.cuda.OutOfMemoryError):
        return f"{_described(index)} has no free memory. {failure(error)}"
    first = str(error).splitlines()[0]
    return (
        f"torch {torch.__version__} cannot compute on {_described(index)}: {first}. Install a torch wheel for this "
        "card (its page at pytorch.org lists them by CUDA version), update the driver, or use --device cpu."
    )


def _described(index: int) -> str:
    card = torch.cuda.get_device_properties(index)
    kind = f"compute capability {card.major}.{card.minor}"
    return f"{card.name} (cuda:{index}, {card.total_memory / GIB:.1f} GiB, {kind})"
