"""What is released is what the tag says, and what is installed holds what the product needs beside its code."""

from __future__ import annotations

import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("station", "policy", "hardware", "datasets")


def version() -> tuple[int, ...]:
    written = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    return numbers(written)


def numbers(written: str) -> tuple[int, ...]:
    assert re.fullmatch(r"\d+\.\d+\.\d+", written), f"{written} is no version like 0.2.0"
    return tuple(map(int, written.split(".")))


def tags(*which: str) -> list[str]:
    """Release tags of this checkout; none in a copy without git or without tags, which installs all the same."""
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        return []
    done = subprocess.run(
        ["git", "tag", "--list", "v*", *which],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    return done.stdout.split()


def test_the_version_is_the_tags() -> None:
    released = sorted(numbers(tag.removeprefix("v")) for tag in tags("--merged", "HEAD"))
    assert not released or released[-1] <= version()
    assert all(numbers(tag.removeprefix("v")) == version() for tag in tags("--points-at", "HEAD"))


def test_the_newest_release_of_the_changelog_is_no_other() -> None:
    headings = re.findall(r"^## (.+)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert headings[0] == "Unreleased"
    assert all(numbers(heading.split()[0]) <= version() for heading in headings[1:])


@pytest.mark.parametrize("package", PACKAGES)
def test_types_are_declared(package: str) -> None:
    assert (ROOT / package / "py.typed").is_file()


def test_guides_and_marks_of_types_are_part_of_the_wheel() -> None:
    data = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]["*"]
    assert {"*.md", "py.typed", "*.toml", "*.tcss"} <= set(data)
    assert (ROOT / "station" / "guides" / "__init__.py").is_file()
