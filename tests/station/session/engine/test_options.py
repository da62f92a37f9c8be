"""An option of the engine is one field: flags fill it, JSON carries it, and a wrong one is refused in a sentence."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import get_args

import annotated_types
import pytest
from typer.models import OptionInfo

from datasets.errors import ExitCode, UsageError
from hardware.cell import ClockSpeed
from station.commands import options
from station.session.engine.launch import main
from station.session.engine.options import EngineOptions

EVERY = EngineOptions(
    headless=True,
    autopilot=True,
    mistakes=0.25,
    speed=ClockSpeed.FAST,
    cells=3,
    episodes=4,
    chunks=5,
    evaluate=6,
    accept_devices=True,
    device="cuda:1",
    policy_server="ws://gpu-host:8765",
    threads=2,
    decision_threads=3,
    patience=0.5,
)


def test_the_engine_reads_the_options_that_it_was_sent() -> None:
    assert EVERY.model_fields_set == EngineOptions.model_fields.keys()
    assert EngineOptions.from_json(EVERY.to_json()) == EVERY
    assert EngineOptions.from_json() == EngineOptions.from_json("{}") == EngineOptions()
    assert EngineOptions().to_json() == "{}"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('{"mistakes": 3}', "Engine option mistakes = 3: must be from 0 to 1. Share of labels"),
        ('{"speed": "7x"}', "Engine option speed = '7x': must be '1x', '4x' or 'max'. Clock of"),
        ('{"mistake": 0.1}', "Engine option mistake: there is no such setting. Did you mean 'mistakes'?"),
        ("--headless", "The engine's options are not a JSON object"),
        ("[1]", "The engine's options are not a JSON object"),
    ],
)
def test_an_engine_refuses_wrong_options_in_one_sentence(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, text: str, sentence: str
) -> None:
    with pytest.raises(UsageError) as refused:
        EngineOptions.from_json(text)
    assert str(refused.value).startswith(sentence)
    with caplog.at_level(logging.ERROR):
        assert main([str(tmp_path), text]) is ExitCode.USAGE
    assert caplog.messages == [str(refused.value)]


def test_a_flag_takes_what_its_option_takes() -> None:
    given = [
        info for kind in vars(options).values() for info in get_args(kind) if isinstance(info, OptionInfo)
    ]
    # in an annotation, typer takes the flag's name for its default
    flags = {str(info.default).strip("-").replace("-", "_"): info for info in given}
    shared = flags.keys() & EngineOptions.model_fields.keys()
    assert {"mistakes", "cells", "episodes", "chunks"} <= shared
    for name in shared:
        limits = EngineOptions.model_fields[name].metadata
        lower = next((limit.ge for limit in limits if isinstance(limit, annotated_types.Ge)), None)
        upper = next((limit.le for limit in limits if isinstance(limit, annotated_types.Le)), None)
        assert (flags[name].min, flags[name].max) == (lower, upper), name
