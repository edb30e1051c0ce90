"""README says nothing that does not hold: commands parse, Python names exist, links lead somewhere."""

import ast
import re
import shlex
from pathlib import Path

import pytest

import liveface
from liveface import cli

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text("utf-8")
COMMANDS = [
    line.split("  #")[0].split("   ")[0].strip()
    for line in README.splitlines()
    if line.startswith("liveface ") and "VERB" not in line
]


def test_there_are_commands():
    assert len(COMMANDS) >= 7


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_of_readme_parse(command):
    given = cli.parser().parse_args(shlex.split(command)[1:])
    assert callable(given.run)


def test_python_of_readme_uses_public_names():
    for block in re.findall(r"```python\n(.*?)```", README, re.DOTALL):
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "liveface":
                assert node.attr in liveface.__all__


@pytest.mark.parametrize(
    "page", [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))], ids=lambda page: page.name
)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text("utf-8")):
        assert target.startswith("http") or (page.parent / target).exists(), f"{page}: {target}"


def test_every_shipped_file_is_listed_with_its_licence():
    from liveface import weights

    listed = weights.manifest()
    shipped = {file.name for file in weights.FOLDER.iterdir()} - {"manifest.json", "LICENSE.mediapipe.txt"}
    assert shipped == set(listed)
    for entry in listed.values():
        assert entry["licence"]
        assert entry["source"]


def test_module_sizes_stay_within_the_house_budget():
    for file in (ROOT / "src").rglob("*.py"):
        assert len(file.read_text("utf-8").splitlines()) <= 500, file
