"""Where networks compute: as a command says, else as the operator's config file says, else on the GPU that is there.

Loads no torch; `policy.devices` says whether the device works.
"""

from __future__ import annotations

import re
from pathlib import Path

from datasets.errors import UsageError
from datasets.wording import did_you_mean
from station.operator_config import KeyConfigError, config_path, read_table

AUTO = "auto"
PATTERN = r"^(auto|cpu|cuda(:[0-9]+)?)$"
"""Names of devices."""
_KNOWN = ("auto", "cpu", "cuda", "cuda:0")
_SAMPLE = 'device = "cuda:0"'


def device_name(option: str | None, path: Path | None = None) -> str:
    """The device to use: `option`, else the config file's [compute] device, else auto.

    Raises:
        UsageError: there is no device of that name. KeyConfigError: the table is invalid.
    """
    if option is not None:
        return _known(option, f"--device {option}")
    path = path or config_path()
    table = read_table("compute", path, example=_SAMPLE)
    for name in table.keys() - {"device"}:
        hint = did_you_mean(name, ["device"], "Its one setting is device.")
        raise KeyConfigError(f"{path}: [compute] has no setting '{name}'.", remedy=hint)
    return _known(table.get("device", AUTO), f"{path}: device {table.get('device')!r} of [compute]")


def _known(name: object, where: str) -> str:
    if isinstance(name, str) and re.fullmatch(PATTERN, name):
        return name
    hint = did_you_mean(str(name), _KNOWN, "Use auto, cpu, cuda or cuda:N.")
    raise UsageError(f"{where}: no such device.", remedy=hint)
