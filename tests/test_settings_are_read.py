"""Every setting does something: product code reads each field of each settings class.

A field counts as read where an attribute of its name is taken from something that is called as objects of its class
are: by `self` in the class; by the name of a parameter, variable, attribute or function annotated with it; by a name
assigned from one of these. So `state.mistakes` is no reading of `[session] mistakes`. Where a module takes attributes
by computed names, the names that stand in it as strings count.
"""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FLOORS = ("datasets", "hardware", "policy", "station")
HANDING_ON = {"zip", "enumerate", "sorted", "reversed", "list", "tuple", "next", "iter", "replace", "cast"}
"""Functions whose result is, or holds, what they are given."""
OF_THE_SAME = {"values", "items", "get", "model_copy", "model_validate"}
"""Methods whose result is, or comes from, the object itself."""


def product() -> dict[str, str]:
    """Path -> source."""
    files = [file for floor in FLOORS for file in sorted((ROOT / floor).rglob("*.py"))]
    return {str(file): file.read_text() for file in files}


class Code:
    """Some modules, searched for settings and for what reads them."""

    def __init__(self, sources: dict[str, str]) -> None:
        self.modules = [[*ast.walk(ast.parse(source))] for source in sources.values()]
        self.nodes = [node for module in self.modules for node in module]

    def unread(self) -> set[str]:
        """Class.field of every setting that nothing reads."""
        found = set()
        for name, node in self.classes.items():
            family = self.family(name)
            called = set[str]().union(*(self.names[other] for other in family))
            own = set[str]().union(*(read_of_self(self.classes[other]) for other in family))
            left = set(fields(node)) - own - self.by_computed_name
            found |= {f"{name}.{field}" for field in left if not self.readers[field] & called}
        return found

    @cached_property
    def classes(self) -> dict[str, ast.ClassDef]:
        """Settings classes by name, all that derive from `Settings`."""
        all_classes = {node.name: node for node in self.nodes if isinstance(node, ast.ClassDef)}
        found = {"Settings"}
        while more := {n for n, node in all_classes.items() if bases(node) & found} - found:
            found |= more
        return {name: all_classes[name] for name in found - {"Settings", "OneOf"}}

    def family(self, name: str) -> set[str]:
        """The class, and those it derives from or that derive from it."""
        return {other for other in self.classes if name in self._line(other) or other in self._line(name)}

    def _line(self, name: str) -> set[str]:
        above = bases(self.classes[name]) & self.classes.keys()
        return {name}.union(*(self._line(base) for base in above))

    @cached_property
    def names(self) -> dict[str, set[str]]:
        """Settings class -> what its objects are called: where they are annotated, and as attributes of others."""
        found = {name: {name} for name in self.classes}
        for called, annotation in self._annotated():
            for word in re.findall(r"\w+", ast.unparse(annotation)):
                if word in found:
                    found[word].add(called)
        for node in self.nodes:
            match node:
                case ast.Assign(
                    targets=[ast.Attribute(attr=kept)], value=ast.Name() | ast.Attribute() as value
                ):
                    source = ends(value)
                    for names in found.values():
                        if source <= names:
                            names.add(kept)
        return found

    def _annotated(self) -> Iterator[tuple[str, ast.expr]]:
        for node in self.nodes:
            match node:
                case ast.arg(arg=name, annotation=ast.expr() as annotation):
                    yield name, annotation
                case ast.AnnAssign(target=target, annotation=annotation):
                    yield from ((name, annotation) for name in ends(target))
                case ast.FunctionDef(name=name, returns=ast.expr() as annotation):
                    yield name, annotation
                case ast.Call(func=ast.Name(id="isinstance"), args=[tested, kind]):
                    yield from ((name, kind) for name in ends(tested))

    @cached_property
    def readers(self) -> defaultdict[str, set[str]]:
        """Attribute -> what it is taken from; a local variable stands for what it was assigned from."""
        found: defaultdict[str, set[str]] = defaultdict(set)
        for function in self.functions:
            nodes = [*ast.walk(function)]
            origins = bound_in(nodes)
            for node in nodes:
                if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load):
                    found[node.attr] |= traced(ends(node.value), origins)
        return found

    @property
    def functions(self) -> Iterator[ast.stmt]:
        """Those of modules and classes, each with the functions in it."""
        for node in self.nodes:
            if isinstance(node, (ast.Module, ast.ClassDef)):
                yield from (part for part in node.body if isinstance(part, ast.FunctionDef))

    @cached_property
    def by_computed_name(self) -> set[str]:
        """Strings of modules that take attributes, or settings of a frozen task, by names that are no literals."""
        return {
            node.value
            for module in self.modules
            if any(map(computes_a_name, module))
            for node in module
            if isinstance(node, ast.Constant) and isinstance(node.value, str)
        } | {chooser for node in self.classes.values() for chooser in choosers(node)}


def bases(node: ast.ClassDef) -> set[str]:
    return set[str]().union(*(ends(base) for base in node.bases))


def fields(node: ast.ClassDef) -> list[str]:
    return [
        item.target.id
        for item in node.body
        if isinstance(item, ast.AnnAssign)
        and isinstance(item.target, ast.Name)
        and not ast.unparse(item.annotation).startswith("ClassVar")
    ]


def choosers(node: ast.ClassDef) -> list[str]:
    return [
        str(item.value.value)
        for item in node.body
        if isinstance(item, ast.AnnAssign)
        and ends(item.target) == {"chooser"}
        and isinstance(item.value, ast.Constant)
    ] or ["kind"]


def read_of_self(node: ast.ClassDef) -> set[str]:
    return {
        inner.attr
        for inner in ast.walk(node)
        if isinstance(inner, ast.Attribute)
        and isinstance(inner.ctx, ast.Load)
        and ends(inner.value) & {"self", "cls"}
    }


def computes_a_name(node: ast.AST) -> bool:
    match node:
        case ast.Call(func=ast.Name(id="getattr"), args=[_, name, *_]):
            return not isinstance(name, ast.Constant)
        case ast.Call(func=ast.Attribute(value=ast.Attribute(attr="tables"), attr="get"), args=[name, *_]):
            return not isinstance(name, ast.Constant)
    return False


def bound_in(nodes: Iterable[ast.AST]) -> defaultdict[str, set[str]]:
    """Local name of a function -> what it was assigned from."""
    found: defaultdict[str, set[str]] = defaultdict(set)
    for node in nodes:
        match node:
            case ast.Assign(targets=[target], value=value):
                pass
            case ast.NamedExpr(target=target, value=value):
                pass
            case ast.For(target=target, iter=value) | ast.comprehension(target=target, iter=value):
                pass
            case _:
                continue
        for name in ends(target):
            found[name] |= ends(value)
    return found


def traced(names: set[str], origins: dict[str, set[str]]) -> set[str]:
    """The names, and what they come from."""
    while more := {origin for name in names for origin in origins.get(name, ())} - names:
        names = names | more
    return names


def ends(node: ast.expr) -> set[str]:  # noqa: PLR0911 - one case per kind of expression
    """What an expression's value is called: the last name of a dotted one, of a call the function's."""
    match node:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return {name}
        case ast.Call(func=ast.Name(id=name), args=given) if name in HANDING_ON:
            return set[str]().union(*map(ends, given))
        case ast.Call(func=ast.Attribute(value=value, attr=name)) if name in OF_THE_SAME:
            return ends(value)
        case (
            ast.Call(func=value)
            | ast.Subscript(value=value)
            | ast.Starred(value=value)
            | ast.Await(value=value)
        ):
            return ends(value)
        case ast.Tuple(elts=parts) | ast.List(elts=parts) | ast.BoolOp(values=parts):
            return set[str]().union(*map(ends, parts))
        case ast.IfExp(body=one, orelse=other):
            return ends(one) | ends(other)
    return set()


def test_product_code_reads_every_setting() -> None:
    assert Code(product()).unread() == set()


LAMP = """
class LampSettings(Settings):
    kinds: ClassVar[dict[str, str]] = {}
    watts: int = 3
    colour: str = "red"

class Lamp:
    def __init__(self, settings: LampSettings) -> None:
        self._settings = settings
"""


@pytest.mark.parametrize(
    ("reading", "left"),
    [
        ("", {"LampSettings.watts", "LampSettings.colour"}),
        ("def use(state): return state.watts, state.colour", {"LampSettings.watts", "LampSettings.colour"}),
        ("def use(settings): settings.watts = settings.colour", {"LampSettings.watts"}),
        ("def use(lamp):\n  for one in zip(lamp._settings, [3]): one.watts", {"LampSettings.colour"}),
        ("class Warm(LampSettings):\n  def use(self): return self.watts", {"LampSettings.colour"}),
        ("def use(settings): return [getattr(settings, each) for each in ('watts', 'colour')]", set()),
    ],
    ids=["nothing", "another object", "written", "through a name", "itself", "by computed names"],
)
def test_a_setting_that_nothing_reads_is_found(reading: str, left: set[str]) -> None:
    assert Code({"lamp": LAMP, "reader": reading}).unread() == left


@pytest.mark.slow
def test_an_unread_setting_is_found_in_every_group() -> None:
    grown = {
        path: re.sub(r"(\nclass \w+\([^)]*\):\n(?=    \"\"\"))", r"\1    nobody_reads_me: int = 0\n", source)
        for path, source in product().items()
    }
    code = Code(grown)
    assert code.unread() == {f"{name}.nobody_reads_me" for name in code.classes}
