"""The extension API in text: every public name with its signature, one fact a line, the same on every machine."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Iterator
from dataclasses import MISSING, fields, is_dataclass
from enum import Enum
from importlib import import_module
from pathlib import Path
from typing import Any, cast

from pydantic import BaseModel

from station.extending.methods import PUBLIC_OF_BASE, BasePolicy

MODULES = ("methods", "devices", "formats")
RECORD = Path(__file__).with_name("surface.txt")
"""What was last agreed on."""
_FLOORS = ("station", "policy", "hardware", "datasets")
_ABSTRACT = "abstract "


def surface() -> str:
    """The extension API as it is now."""
    public = {
        f"{module}.{name}": getattr(import_module(f"station.extending.{module}"), name)
        for module in MODULES
        for name in import_module(f"station.extending.{module}").__all__
    }
    classes = [thing for thing in public.values() if isinstance(thing, type)]
    return "".join(f"{line}\n" for name, thing in public.items() for line in _described(name, thing, classes))


def digest() -> str:
    """Eight digits of the record, which the changelog names."""
    return hashlib.sha256(RECORD.read_bytes()).hexdigest()[:8]


def _described(name: str, thing: object, listed: list[type]) -> Iterator[str]:
    if inspect.isfunction(thing):
        yield f"{name}{inspect.signature(thing)}"
    elif not isinstance(thing, type):
        yield f"{name}: a type"
    else:
        yield f"{name}({', '.join(base.__name__ for base in thing.__bases__)})"
        if issubclass(thing, Enum):
            yield f"{name}: {', '.join(str(member.value) for member in thing)}"
        for owner in thing.__mro__:
            # members of a base that is public itself are listed there; torch's and pydantic's are theirs to promise
            ours = owner.__module__.partition(".")[0] in _FLOORS
            if owner is thing or (ours and owner not in listed):
                yield from (f"{name}.{line}" for line in _members(owner))


def _members(owner: type) -> Iterator[str]:
    wanted = PUBLIC_OF_BASE if owner is BasePolicy else None
    for name, kind in sorted(inspect.get_annotations(owner).items()):
        if not name.startswith("_") and wanted is None:
            yield f"{name}: {kind}{_default(owner, name)}"
    for name, member in sorted(vars(owner).items()):
        if name == "__init__" and wanted is None:
            if not (is_dataclass(owner) or issubclass(owner, BaseModel)):
                yield f"__init__{inspect.signature(cast(Any, member))}"
        elif not name.startswith("_") and (wanted is None or name in wanted):
            yield from _method(name, member)
    for name in sorted(set(wanted or ()) - set(vars(owner))):
        yield name


def _default(owner: type, name: str) -> str:
    """`` = ...`` where a caller or a subclass may leave it out; values are settings, documented where they are used."""
    if is_dataclass(owner):
        found = {each.name: each for each in fields(owner)}.get(name)
        if found is not None:
            required = found.default is MISSING and found.default_factory is MISSING
            return "" if required else " = ..."
    if issubclass(owner, BaseModel) and name in owner.model_fields:
        return "" if owner.model_fields[name].is_required() else " = ..."
    return " = ..." if name in vars(owner) else ""


def _method(name: str, member: object) -> Iterator[str]:
    if isinstance(member, property):
        abstract = _ABSTRACT if getattr(member, "__isabstractmethod__", False) else ""
        yield f"{abstract}property {name}: {inspect.signature(cast(Any, member.fget)).return_annotation}"
        return
    kind = type(member).__name__
    function = getattr(member, "__func__", member)
    if inspect.isfunction(function):
        abstract = _ABSTRACT if getattr(function, "__isabstractmethod__", False) else ""
        prefix = f"{kind} " if kind != "function" else ""
        yield f"{abstract}{prefix}{name}{inspect.signature(function)}"
