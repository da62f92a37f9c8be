"""Settings for people: a commented TOML text, and one sentence per mistake in it.

Works on any group of `datasets.settings.Settings`, and follows a base of several kinds to the one chosen; knows
no task, reads and writes no file.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import PurePath
from typing import Any, Literal, get_args, get_origin

import annotated_types
import tomlkit
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails, PydanticUndefined
from tomlkit.items import Item
from tomlkit.items import Table as TomlTable

from datasets.settings import Settings
from datasets.wording import did_you_mean

_COMMENT_WIDTH = 100
_FROM, _TO = "at least ", "at most "
_OUTSIDE = {"greater_than", "greater_than_equal", "less_than", "less_than_equal", "enum", "literal_error"}
_Settings = BaseModel | type[BaseModel]
"""Settings with their values, or a class of them with its defaults."""


@dataclass(frozen=True)
class Beside:
    """Marks a field: a file writes these tables of its section beside it, as [arms], not [cell.arms]."""

    names: tuple[str, ...]


def to_toml(settings: BaseModel) -> str:
    """All settings with their texts and ranges as comments; parsing `nested` of it gives equal settings back."""
    document = tomlkit.document()
    _fill(document, settings, ())
    return tomlkit.dumps(document)


def section_to_toml(model: type[BaseModel], header: str, without: Sequence[str] = ()) -> str:
    """All settings of one section, e.g. [[cameras]], with their texts, ranges and defaults, `without` some."""
    document = tomlkit.document()
    for line in _wrapped(first_sentence(model)):
        document.add(tomlkit.comment(line))
    document.add(tomlkit.nl())
    _fill(document, model, tuple(header.strip("[]").split(".")), without)
    return f"{header}\n{tomlkit.dumps(document)}"


def nested(model: type[BaseModel], content: Mapping[str, Any]) -> dict[str, Any]:
    """A file's content with the tables written beside their section moved into it.

    Raises:
        ValueError: one is in both places.
    """
    moved = dict(content)
    for section, names in _beside(model).items():
        tables = {name: moved.pop(name) for name in names if name in content}
        inside = content.get(section, {})
        if not tables or not isinstance(inside, Mapping):
            continue
        for name in tables:
            if name in inside:
                raise ValueError(f"[{name}] is also inside [{section}]; keep only the one beside it.")
        moved[section] = {**inside, **tables}
    return moved


def problems(model: type[BaseModel], error: ValidationError, content: Mapping[str, Any]) -> list[str]:
    """One sentence per mistake: section, key, what is allowed, and what the setting means.

    `content` is what was read: it shows which kind a section is, and where its tables are.
    """
    inside = nested(model, content)
    errors = error.errors(include_url=False)
    return [_problem(model, details, inside, content) for details in errors if not _follows(details, errors)]


def allowed(field: FieldInfo) -> str:
    """What a field takes, in words; empty when only its type limits it."""
    choices = _choices(field.annotation)
    if len(choices) > 1:
        return "one of " + ", ".join(choices)
    lower, upper = _bounds(field)
    if lower.startswith(_FROM) and upper.startswith(_TO):
        return f"from {lower.removeprefix(_FROM)} to {upper.removeprefix(_TO)}"
    return " and ".join(limit for limit in (lower, upper) if limit)


def _fill(
    table: tomlkit.TOMLDocument | TomlTable,
    settings: _Settings,
    path: tuple[str, ...],
    without: Sequence[str] = (),
) -> None:
    """Plain values first, then the tables: TOML would read a value after a table as part of it."""
    later: list[tuple[str, FieldInfo, Any, tuple[str, ...]]] = []
    for name, field, value in _values(settings):
        if name in without:
            continue
        if not _is_group(field, value):
            _add_value(table, name, field, value)
            continue
        beside = _names_beside(field)
        later.append((name, field, value, beside))
        later += [(*inner, ()) for inner in _values(value) if inner[0] in beside] if beside else []
    for name, field, value, beside in later:
        place = (*path, name)
        if isinstance(value, BaseModel):
            table.add(name, _table(value, place, field, beside))
        elif value:
            tables = tomlkit.aot()
            for item in value:
                tables.append(_table(item, place))
            table.add(name, tables)
        else:
            _add_template(table, place, field)


def _values(settings: _Settings) -> Iterator[tuple[str, FieldInfo, Any]]:
    """Name, field and value; a class gives its defaults."""
    model = type(settings) if isinstance(settings, BaseModel) else settings
    for name, field in model.model_fields.items():
        default = field.get_default(call_default_factory=True) if model is settings else None
        yield name, field, default if model is settings else getattr(settings, name)


def _table(
    settings: _Settings, path: tuple[str, ...], field: FieldInfo | None = None, without: Sequence[str] = ()
) -> TomlTable:
    table = tomlkit.table()
    model = type(settings) if isinstance(settings, BaseModel) else settings
    text = field.description if field is not None and field.description else None
    for line in _wrapped(text or first_sentence(model)):
        table.add(tomlkit.comment(line))
    table.add(tomlkit.nl())
    _fill(table, settings, path, without)
    return table


def _add_value(table: tomlkit.TOMLDocument | TomlTable, name: str, field: FieldInfo, value: object) -> None:
    text = " ".join((field.description or "").split())
    limits = allowed(field)
    for line in _wrapped(f"{text} ({limits})" if text and limits else text or limits):
        table.add(tomlkit.comment(line))
    if value is None:
        table.add(tomlkit.comment(f"{name} is not set"))
    elif value is PydanticUndefined:
        table.add(tomlkit.comment(f"{name} = ... must be set"))
    else:
        table.add(name, _item(value))


def _add_template(table: tomlkit.TOMLDocument | TomlTable, path: tuple[str, ...], field: FieldInfo) -> None:
    """A list of sections that is empty, as comments that show what one of them would be."""
    [model] = _models_in(field.annotation)
    lines = [*_wrapped(field.description or ""), f"[[{'.'.join(path)}]]"]
    for name, inner, value in _values(model):
        shown = "..." if value is PydanticUndefined else _item(value).as_string()
        lines.append(f"{name} = {shown}  # {' '.join((inner.description or '').split())}")
    table.add(tomlkit.nl())
    for line in lines:
        table.add(tomlkit.comment(line))


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


def _is_group(field: FieldInfo, value: object) -> bool:
    """Whether it is written as a section, or as several; one that is left out is a comment among the values."""
    models = list(_models_in(field.annotation))
    return isinstance(value, BaseModel) or (bool(models) and isinstance(value, (tuple, list)))


def _beside(model: type[BaseModel]) -> dict[str, tuple[str, ...]]:
    """Section -> those of its tables that stand beside it."""
    return {name: names for name, field in model.model_fields.items() if (names := _names_beside(field))}


def _names_beside(field: FieldInfo) -> tuple[str, ...]:
    return next((mark.names for mark in field.metadata if isinstance(mark, Beside)), ())


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, _COMMENT_WIDTH)


def first_sentence(model: type[BaseModel]) -> str:
    """What a group of settings is."""
    return " ".join((model.__doc__ or "").split("\n\n")[0].split())


def _problem(
    model: type[BaseModel], details: ErrorDetails, content: Mapping[str, Any], written: Mapping[str, Any]
) -> str:
    """Where it is in the file as `written`, what was written, what is allowed, and what the setting means."""
    location = details["loc"]
    unknown = details["type"] == "extra_forbidden"
    is_section = (
        isinstance(details["input"], Mapping) if unknown else _model(model, location, content) is not None
    )
    field = None if unknown else _field(model, location, content)
    is_list = field is not None and get_origin(field.annotation) is tuple
    place = _place(_as_written(model, location, written), is_section=is_section, is_list=is_list)
    kind = "section" if is_section else "setting"
    if unknown:
        return f"{place}: there is no such {kind}. {_nearest(model, location, content)}"
    text = " ".join((field.description or "").split()) if field is not None else ""
    if details["type"] == "missing":
        return f"{place}: this {kind} is missing. {text}".rstrip()
    value = "" if is_section and isinstance(details["input"], (Mapping, list)) else f" = {details['input']!r}"
    return f"{place}{value}: {_wrong(details, field)} {text}".rstrip()


def _follows(details: ErrorDetails, errors: Sequence[ErrorDetails]) -> bool:
    """Whether a list is too short only because its items are wrong."""
    place = details["loc"]
    return details["type"] == "too_short" and any(
        len(other["loc"]) > len(place) and other["loc"][: len(place)] == place for other in errors
    )


def _as_written(
    model: type[BaseModel], location: Sequence[int | str], written: Mapping[str, Any]
) -> Sequence[int | str]:
    """Without the section beside which the table stands."""
    if len(location) < 2 or location[1] not in _beside(model).get(str(location[0]), ()):
        return location
    inside = written.get(str(location[0]))
    return location if isinstance(inside, Mapping) and location[1] in inside else location[1:]


def _wrong(details: ErrorDetails, field: FieldInfo | None) -> str:
    """What the value should have been: its range where the value is outside it, else its kind and its range."""
    limits = allowed(field) if field is not None else ""
    if limits and details["type"] in _OUTSIDE:
        return f"must be {limits}."
    if details["type"] == "tuple_type":
        one = isinstance(details["input"], Mapping)
        return "there may be several, so write its heading in double brackets." if one else "must be a list."
    wrong = details["msg"].removeprefix("Value error, ").replace("Input should be", "must be").rstrip(".")
    if limits:
        wrong = f"{wrong}, {limits}"
    return wrong if wrong.endswith("?") else f"{wrong}."


def _place(location: Sequence[int | str], *, is_section: bool, is_list: bool) -> str:
    """As the file has it: `[section.sub] key`, `[section]`, `[[sections]]`; in a list `sections[0].key`."""
    if not location:
        return "the settings together"
    words = [f"[{part}]" if isinstance(part, int) else f".{part}" for part in location]
    path = "".join(words).removeprefix(".")
    if any(isinstance(part, int) for part in location):
        return path
    if is_section:
        return f"[[{path}]]" if is_list else f"[{path}]"
    section, _, key = path.rpartition(".")
    return f"[{section}] {key}" if section else key


def _nearest(model: type[BaseModel], location: Sequence[int | str], content: object) -> str:
    """The nearest name among those that are allowed beside the unknown one."""
    parent = _model(model, location[:-1], content)
    names = list(parent.model_fields) if parent is not None else []
    names += [name for beside in _beside(parent).values() for name in beside] if parent is not None else []
    return did_you_mean(str(location[-1]), names, f"Known here: {', '.join(names)}.", alike=0.5)


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
