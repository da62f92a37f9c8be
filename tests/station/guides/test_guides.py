"""The guides are what an operator believes: what they print is what the station takes, and what they name exists."""

from __future__ import annotations

import re
import shlex
import tomllib
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path

import pytest
import typer
from typer.core import TyperGroup

from station.cli import app
from station.guides.pages import GuideError, find, guides, search, sections, slug
from station.tasks.config import Task, load_task
from station.tasks.reference import sections as settings_sections
from station.tasks.shelf import list_tasks
from station.tui.actions import ACTIONS, Action
from tests.station.conftest import Station

ROOT = Path(__file__).parents[3]
README, GUIDES = ROOT / "README.md", ROOT / "station" / "guides"
PAGES = [
    README,
    ROOT / "ARCHITECTURE.md",
    *sorted(GUIDES.glob("*.md")),
    *sorted((ROOT / ".github").glob("*.md")),
]
_SHOWN = {"question_mark": "?"}
_OTHERS = frozenset(
    {"Ctrl+P", "Ctrl+X", "Ctrl+C", "Ctrl+Y", "Ctrl+N", "Ctrl+Q", "Escape", "Enter", "F1", "g"}
)
"""Keys that no action of the session's table has: of the palette, dialogs, other screens and the guides."""
NAMES = {command.name for command in app.registered_commands} | {"bench", "learns"}


def text(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def blocks(page: Path, language: str) -> list[str]:
    """Fenced blocks in a language, in lists too."""
    found = re.findall(rf"^( *)```{language}\n(.*?)^\1```$", text(page), re.MULTILINE | re.DOTALL)
    return ["\n".join(line.removeprefix(indent) for line in body.splitlines()) for indent, body in found]


def commands(page: Path) -> Iterator[list[str]]:
    """The words of every command that the page shows; a command's bare name within a sentence is a name."""
    lines = [line for block in blocks(page, "sh") for line in block.splitlines()]
    named = re.findall(r"`((?:\.venv/bin/)?station [^`]+)`", text(page))
    for line in [*lines, *named]:
        bare = line.partition(" #")[0].strip().removeprefix(".venv/bin/")
        if bare.startswith("station "):
            words = filled(bare)
            yield [*words, "--help"] if line in named and words[-1] in NAMES else words


@cache
def command_line() -> TyperGroup:
    group = typer.main.get_command(app)
    assert isinstance(group, TyperGroup)
    return group


def parsed(words: list[str]) -> None:
    """Let the real command line parse the words, and run nothing. Raises what it raises of wrong ones."""
    context = command_line().make_context("station", words)
    while isinstance(context.command, TyperGroup) and (rest := [*context._protected_args, *context.args]):
        name, command, left = context.command.resolve_command(context, rest)
        assert command is not None
        context = command.make_context(name, left, parent=context)


def filled(line: str) -> list[str]:
    """What is typed after the program's name, with what stands for something filled in; [NAME] may be left out."""
    line = re.sub(r"\[[A-Z][A-Z ]*\]", "", line).replace("COMMAND ...", "home").replace("COMMAND", "home")
    line = line.replace("--install-completion", "--help")  # that one acts while it is parsed
    return shlex.split(line.partition(" > ")[0])[1:]


def shown(action: Action) -> str:
    """An action's default key as pages write it."""
    modifier, plus, key = action.key.rpartition("+")
    return f"{modifier.title()}+{key.upper()}" if plus else _SHOWN.get(key, key)


def anchors(page: Path) -> set[str]:
    headings = re.findall(
        r"^#{1,4} (.+)$", re.sub(r"```.*?```", "", text(page), flags=re.DOTALL), re.MULTILINE
    )
    return {slug(heading) for heading in headings}


@cache
def settings_keys() -> set[str]:
    """Every setting that a task file can hold."""
    whole = "\n".join(each.text for each in settings_sections())
    return {*re.findall(r"^(?:# )?([a-z0-9_]+) (?:=|is not set)", whole, re.MULTILINE), *Task.model_fields}


@cache
def sentences() -> str:
    """The code, with the strings that stand in pieces on several lines made whole."""
    files = (file for floor in ("datasets", "hardware", "station") for file in (ROOT / floor).rglob("*.py"))
    return re.sub(r'"\s*\n\s*f?"', "", "\n".join(map(text, files))).lower()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_command_of_a_page_is_one_that_the_command_line_takes(page: Path) -> None:
    for words in commands(page):
        with suppress(typer.Exit):
            parsed(words)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_make_target_module_and_extra_of_a_page_exists(page: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", text(ROOT / "Makefile"), re.MULTILINE))
    extras = tomllib.loads(text(ROOT / "pyproject.toml"))["project"]["optional-dependencies"]
    whole = text(page)
    assert set(re.findall(r"(?:`|^)make ([a-z-]+)", whole, re.MULTILINE)) <= targets
    for module in re.findall(r"python -m (tests\.[a-z_.]+)", whole):
        assert (ROOT / f"{module.replace('.', '/')}.py").is_file(), module
    for file in re.findall(r"python (tests/[a-z_/]+\.py)", whole):
        assert (ROOT / file).is_file(), file
    for names in re.findall(r"'\.\[([a-z,]+)\]'", whole):
        assert set(names.split(",")) <= set(extras)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_link_of_a_page_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)]+)\)", text(page)):
        where, _, anchor = target.partition("#")
        assert not where.startswith("http"), f"{page.name}: guides are read offline: {target}"
        file = (page.parent / where).resolve() if where else page
        assert file.exists(), f"{page.name}: {target}"
        assert not anchor or anchor in anchors(file), f"{page.name}: {target}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_file_that_a_page_names_exists(page: Path) -> None:
    for name in re.findall(r"`((?:station|policy|hardware|datasets|tests|\.github)/[\w./-]+)`", text(page)):
        assert (ROOT / name).exists(), f"{page.name}: {name}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_key_that_a_page_names_is_a_key(page: Path) -> None:
    known = {shown(action) for action in ACTIONS} | _OTHERS
    single = re.findall(r"`([a-z?]|Ctrl\+[A-Z]|F\d+|Escape|Enter)`", text(page))
    assert set(single) <= known


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_setting_of_a_toml_block_exists(page: Path) -> None:
    known = settings_keys()
    for block in blocks(page, "toml"):
        tomllib.loads(block)
        if re.search(r"^\[(keys|pedals|hotkeys|map|trust|policy-server)\]", block, re.MULTILINE):
            continue
        for key in re.findall(r"^([a-z_]+) = ", block, re.MULTILINE):
            assert key in known, f"{page.name}: {key}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_what_the_screen_is_said_to_show_is_what_it_can_show(page: Path) -> None:
    for row in re.findall(r"^\| (.*?) \|", text(page), re.MULTILINE):
        for quoted in re.findall(r"(?<!\*)\*([^*]+)\*(?!\*)", row):
            assert quoted.lower() in sentences(), f"{page.name}: {quoted}"


def test_each_action_stands_in_the_table_of_keys() -> None:
    rows = [line.split("|")[1] for line in text(GUIDES / "keys.md").splitlines() if line.startswith("| `")]
    assert {f"`{shown(action)}`" for action in ACTIONS} <= set(re.findall(r"`[^`]+`", " ".join(rows)))


def test_the_table_of_commands_is_the_command_line() -> None:
    known = {command.name: command.hidden for command in app.registered_commands}
    known |= {group.name: False for group in app.registered_groups}
    told = set(re.findall(r"^\| `station ([a-z-]+)", text(GUIDES / "commands.md"), re.MULTILINE))
    assert told == {name for name, hidden in known.items() if not hidden}


def test_every_task_that_the_pages_print_is_in_the_library() -> None:
    for page in PAGES:
        for name in re.findall(r"station tasks ([a-z0-9-]+)", text(page)):
            assert name in list_tasks() and load_task(name)


def test_the_list_names_each_page_once_with_one_line() -> None:
    names = [guide.name for guide in guides()]
    assert sorted(names) == sorted(page.stem for page in GUIDES.glob("*.md") if page.name != "README.md")
    assert all(len(guide.summary) <= 100 and guide.title for guide in guides())


def test_the_readme_is_short_and_names_every_guide() -> None:
    assert len(text(README).splitlines()) <= 150
    assert {f"station/guides/{guide.name}.md" for guide in guides()} <= set(
        re.findall(r"\((station/[^)#]+)", text(README))
    )


def test_hazards_come_before_wiring() -> None:
    for arm in ("xarm", "franka"):
        headings = [part.heading for part in sections(find(arm))]
        wiring = next(index for index, heading in enumerate(headings) if "wire" in heading)
        assert "Hazards" in headings[1] and wiring == 2


def test_every_guide_that_a_message_names_exists() -> None:
    named = set(re.findall(r"station guide ([a-z][a-z-]*)", sentences())) - {"name"}
    assert named & {"importing", "demonstrations"} and named <= {guide.name for guide in guides()}


def test_a_guide_is_found_by_its_name_a_part_of_it_and_nearly(station: Station) -> None:
    assert find("xarm").name == "xarm" and find("Session-Folder.md").name == "session-folder"
    assert find("trouble").name == "troubleshooting" and find("session folder").name == "session-folder"
    with pytest.raises(GuideError, match=r"Did you mean 'first-session' or 'session-folder'\?"):
        find("session")
    with pytest.raises(GuideError, match=r"Did you mean 'cameras'"):
        find("kameras")
    done = station("guide", "kameras")
    assert done.exit_code == 2 and "Did you mean 'cameras'" in done.output


def test_a_search_finds_sections_that_hold_all_words(station: Station) -> None:
    hits = search("PREEMPT_RT kernel")
    assert [(hit.guide.name, hit.heading) for hit in hits] == [("franka", "3. Prepare this computer")]
    assert search("Xarm hazards")[0].anchor in anchors(GUIDES / "xarm.md")
    assert search("") == [] and search("no page holds such zzz words") == []
    found = station("guide", "--search", "emergency stop")
    assert found.exit_code == 0 and "xarm: 1. Hazards" in found.output
    assert station("guide", "--search", "zzz").exit_code == 1
    assert station("guide", "xarm", "--search", "stop").exit_code == 2


def test_the_guide_command_lists_and_prints(station: Station) -> None:
    listed = station("guide").output
    assert all(f"{guide.name} " in listed and guide.summary in listed for guide in guides())
    assert station("guide", "xarm").output == find("xarm").text


def test_a_terminal_gets_the_page_through_its_pager(
    station: Station, monkeypatch: pytest.MonkeyPatch
) -> None:
    pages: list[str] = []
    monkeypatch.setattr("station.commands.guiding._on_a_terminal", lambda: True)
    monkeypatch.setattr("pydoc.pager", pages.append)
    assert station("guide", "first-session").exit_code == 0
    assert "First session" in pages[0] and "station guide keys" in pages[0] and "keys.md" not in pages[0]
