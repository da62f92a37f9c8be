"""Settings as people meet them: a commented TOML text, and a sentence for everything that is wrong with one.

Works on any group of `datasets.settings.Settings`, and follows a base of several kinds to the one that is meant; knows
no task, reads and writes no file.
"""

from __future__ import annotations

import difflib
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from enum import Enum
from pathlib import PurePath
from typing import Any, Literal, get_args, get_origin

import annotated_types
import tomlkit
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails
from tomlkit.items import Item
from tomlkit.items import Table as TomlTable

from datasets.settings import Settings

_COMMENT_WIDTH = 100
_FROM, _TO = "at least ", "at most "
_OUTSIDE = {"greater_than", "greater_than_equal", "less_than", "less_than_equal", "enum", "literal_error"}


def to_toml(settings: BaseModel) -> str:
    """All settings with their texts and ranges as comments; parsing it gives equal settings back."""
    document = tomlkit.document()
    _fill(document, settings)
    return tomlkit.dumps(document)


def problems(model: type[BaseModel], error: ValidationError, content: object = None) -> list[str]:
    """One sentence per mistake: section, key, what is allowed, and what the setting means.

    `content` is what was read; where a section comes in several kinds, it tells which one is meant.
    """
    return [_problem(model, details, content) for details in error.errors(include_url=False)]


def allowed(field: FieldInfo) -> str:
    """What a field takes, in words; empty when only its type limits it."""
    choices = _choices(field.annotation)
    if choices:
        return "one of " + ", ".join(choices)
    lower, upper = _bounds(field)
    if lower.startswith(_FROM) and upper.startswith(_TO):
        return f"from {lower.removeprefix(_FROM)} to {upper.removeprefix(_TO)}"
    return " and ".join(limit for limit in (lower, upper) if limit)


def _fill(table: tomlkit.TOMLDocument | TomlTable, settings: BaseModel) -> None:
    """Plain values first, then the tables: TOML would read a value after a table as part of it."""
    later: list[tuple[str, FieldInfo, Any]] = []
    for name, field in type(settings).model_fields.items():
        value = getattr(settings, name)
        if isinstance(value, BaseModel) or _is_models(value):
            later.append((name, field, value))
        else:
            _add_value(table, name, field, value)
    for name, field, value in later:
        if isinstance(value, BaseModel):
            table.add(name, _table(value, field))
        else:
            tables = tomlkit.aot()
            for item in value:
                tables.append(_table(item))
            table.add(name, tables)


def _table(settings: BaseModel, field: FieldInfo | None = None) -> TomlTable:
    table = tomlkit.table()
    text = field.description if field is not None and field.description else None
    for line in _wrapped(text or _first_sentence(type(settings))):
        table.add(tomlkit.comment(line))
    table.add(tomlkit.nl())
    _fill(table, settings)
    return table


def _add_value(table: tomlkit.TOMLDocument | TomlTable, name: str, field: FieldInfo, value: object) -> None:
    text = " ".join((field.description or "").split())
    limits = allowed(field)
    for line in _wrapped(f"{text} ({limits})" if text and limits else text or limits):
        table.add(tomlkit.comment(line))
    if value is None:
        table.add(tomlkit.comment(f"{name} is not set"))
    else:
        table.add(name, _item(value))


def _item(value: object) -> Item:
    """A TOML value; dictionaries stay on one line."""
    return tomlkit.item(_plain(value), _sort_keys=False) if not isinstance(value, Mapping) else _inline(value)


def _inline(mapping: Mapping[Any, Any]) -> Item:
    table = tomlkit.inline_table()
    for key, value in mapping.items():
        table.append(str(_plain(key)), _item(value))
    return table


def _plain(value: object) -> Any:
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, PurePath):
        return str(value)
    if isinstance(value, (tuple, list)):
        return [_plain(item) for item in value]
    return value


def _is_models(value: object) -> bool:
    return isinstance(value, (tuple, list)) and bool(value) and isinstance(value[0], BaseModel)


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, _COMMENT_WIDTH)


def _first_sentence(model: type[BaseModel]) -> str:
    return " ".join((model.__doc__ or "").split("\n\n")[0].split())


def _problem(model: type[BaseModel], details: ErrorDetails, content: object) -> str:
    """Where it stands, what was written, what is allowed, and what the setting means."""
    location = details["loc"]
    unknown = details["type"] == "extra_forbidden"
    is_section = (
        isinstance(details["input"], Mapping) if unknown else _model(model, location, content) is not None
    )
    place = _place(location, is_section=is_section)
    kind = "section" if is_section else "setting"
    if unknown:
        return f"{place}: there is no such {kind}. {_nearest(model, location, content)}"
    field = _field(model, location, content)
    text = " ".join((field.description or "").split()) if field is not None else ""
    if details["type"] == "missing":
        return f"{place}: this {kind} is missing. {text}".rstrip()
    value = "" if isinstance(details["input"], Mapping) else f" = {details['input']!r}"
    return f"{place}{value}: {_wrong(details, field)} {text}".rstrip()


def _wrong(details: ErrorDetails, field: FieldInfo | None) -> str:
    """What the value should have been: its range where the value is outside it, else its kind and its range."""
    limits = allowed(field) if field is not None else ""
    if limits and details["type"] in _OUTSIDE:
        return f"must be {limits}."
    wrong = details["msg"].removeprefix("Value error, ").replace("Input should be", "must be").rstrip(".")
    if limits:
        wrong = f"{wrong}, {limits}"
    return wrong if wrong.endswith("?") else f"{wrong}."


def _place(location: Sequence[int | str], *, is_section: bool) -> str:
    """`[section.sub] key`, or `[section]`, as it stands in the file; list positions count from 1."""
    words = [f"#{part + 1}" if isinstance(part, int) else part for part in location]
    if not words:
        return "the settings together"
    if is_section:
        return f"[{'.'.join(words)}]"
    *section, key = words
    return f"[{'.'.join(section)}] {key}" if section else key


def _nearest(model: type[BaseModel], location: Sequence[int | str], content: object) -> str:
    """The nearest name among those that are allowed beside the unknown one."""
    parent = _model(model, location[:-1], content)
    names = list(parent.model_fields) if parent is not None else []
    near = difflib.get_close_matches(str(location[-1]), names, n=1, cutoff=0.5)
    if near:
        return f"Did you mean '{near[0]}'?"
    return f"Known here: {', '.join(names)}."


def _field(model: type[BaseModel], location: Sequence[int | str], content: object) -> FieldInfo | None:
    """The field an error speaks of; for an item of a list, the field that holds the list."""
    for end in range(len(location), 0, -1):
        parent = _model(model, location[: end - 1], content)
        name = location[end - 1]
        if parent is not None and isinstance(name, str) and name in parent.model_fields:
            return parent.model_fields[name]
    return None


def _model(
    model: type[BaseModel] | None, location: Sequence[int | str], content: object
) -> type[BaseModel] | None:
    """The group of settings at a location; None where there is no group."""
    for part in location:
        if model is None:
            return None
        if isinstance(part, str) and part in model.model_fields:
            model = next(_models_in(model.model_fields[part].annotation), None)
        content = _inside(content, part)
        model = _kind(model, content)
    return model


def _inside(content: object, part: int | str) -> object:
    if isinstance(content, Mapping):
        return content.get(part)
    if isinstance(content, (list, tuple)) and isinstance(part, int) and part < len(content):
        return content[part]
    return None


def _kind(model: type[BaseModel] | None, content: object) -> type[BaseModel] | None:
    """The class that reads `content`, where `model` is the base of several; the base itself where none does."""
    if model is None or not issubclass(model, Settings) or not isinstance(content, Mapping):
        return model
    try:
        return model.reader(content)
    except ValueError:
        return model


def _models_in(annotation: object) -> Iterator[type[BaseModel]]:
    """Groups named inside an annotation, e.g. those of tuple[Group, ...] or Group | None."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models_in(argument)


def _choices(annotation: object) -> list[str]:
    """Values of an enumeration or a Literal, as they are written in TOML."""
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return [repr(member.value) for member in annotation]
    if get_origin(annotation) is Literal:
        return [repr(value) for value in get_args(annotation)]
    return []


def _bounds(field: FieldInfo) -> tuple[str, str]:
    """The lower and the upper limit of a number, in words; empty where there is none."""
    lower = upper = ""
    for limit in field.metadata:
        match limit:
            case annotated_types.Ge():
                lower = f"{_FROM}{limit.ge:g}"
            case annotated_types.Gt():
                lower = f"more than {limit.gt:g}"
            case annotated_types.Le():
                upper = f"{_TO}{limit.le:g}"
            case annotated_types.Lt():
                upper = f"less than {limit.lt:g}"
    return lower, upper
