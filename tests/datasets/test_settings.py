"""A group that comes in several kinds is read by the class its chooser names, and says so when there is none."""

from __future__ import annotations

import pickle
import sys
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import pytest
from pydantic import Field, ValidationError

from datasets.settings import TRUST, OneOf, Settings


class Animal(OneOf):
    kinds: ClassVar[Mapping[str, str]] = {"cat": f"{__name__}:Cat", "bird": f"{__name__}:Bird"}
    usual: ClassVar[str] = "cat"

    kind: str
    name: str = "nobody"


class Cat(Animal):
    kind: Literal["cat"] = "cat"
    lives: int = Field(default=9, ge=1)


class Bird(Animal):
    kind: Literal["bird"] = "bird"


class Dog(Animal):
    kind: str = ""


class Cage(Settings):
    _former_names: ClassVar[Mapping[str, str]] = {"size": "area"}

    area: float = 1.0
    """m2"""


class Zoo(Settings):
    animals: tuple[Animal, ...] = ()


def read(*animals: dict[str, Any]) -> Zoo:
    return Zoo.model_validate({"animals": animals})


def mistake(*animals: dict[str, Any]) -> tuple[tuple[int | str, ...], str]:
    with pytest.raises(ValidationError) as caught:
        read(*animals)
    [details] = caught.value.errors()
    return details["loc"], details["msg"]


def test_each_kind_is_read_by_its_own_class() -> None:
    cat, bird = read({"kind": "cat", "lives": 3}, {"kind": "bird", "name": "emu"}).animals
    assert isinstance(cat, Cat) and cat.lives == 3
    assert isinstance(bird, Bird) and bird.name == "emu"


def test_without_the_chooser_it_is_the_usual_kind() -> None:
    assert isinstance(read({"lives": 2}).animals[0], Cat)


def test_a_class_of_ones_own_is_named_by_its_module(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(TRUST, f"something:else {__name__}:Dog")
    assert type(read({"kind": f"{__name__}:Dog"}).animals[0]) is Dog


@pytest.mark.parametrize("path", ["no.such.module:Cat", f"{__name__}:Elephant", "pathlib:Path"])
def test_a_class_that_is_not_there_or_is_something_else_is_refused_in_words(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(TRUST, path.partition(":")[0])
    assert path in mistake({"kind": path})[1]


def test_a_class_that_nobody_trusts_is_refused_and_not_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(TRUST, raising=False)
    monkeypatch.delitem(sys.modules, "this", raising=False)
    assert "station --trust this:Animal" in mistake({"kind": "this:Animal"})[1]
    assert "this" not in sys.modules


def test_made_in_code_or_read_from_a_file_it_is_the_same() -> None:
    assert Zoo(animals=(Cat(lives=3),)) == read({"kind": "cat", "lives": 3})
    assert pickle.loads(pickle.dumps(read({"lives": 3}))) == read({"lives": 3})


def test_a_former_name_is_read_and_the_new_one_is_written() -> None:
    assert Cage.model_validate({"size": 3.0}) == Cage(area=3.0)
    assert Cage.model_validate({"size": 3.0}).model_dump() == {"area": 3.0}


def test_a_setting_under_both_names_is_refused_in_one_sentence() -> None:
    with pytest.raises(ValidationError) as caught:
        Cage.model_validate({"size": 3.0, "area": 3.0})
    [details] = caught.value.errors()
    assert details["msg"] == "Value error, size is the former name of area; keep only area"
