"""What the documents point to is there, and what must be in them is."""

import re
from pathlib import Path

import pytest

from runtide.cli import COMMANDS

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/*.md")])


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(document: Path) -> None:
    targets = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", document.read_text())
    local = [target for target in targets if "://" not in target and not target.startswith("mailto:")]
    assert [target for target in local if not (document.parent / target).exists()] == []


def test_the_readme_shows_the_two_commands_and_every_other_one() -> None:
    readme = (ROOT / "README.md").read_text()
    assert "make demo" in readme and "make test" in readme
    assert [name for name in COMMANDS if name not in readme] == []


@pytest.mark.parametrize("lock", ["requirements.lock", "requirements-libraries.lock"])
def test_a_lock_names_no_registry_and_pins_everything(lock: str) -> None:
    lines = (ROOT / lock).read_text().splitlines()
    assert len(lines) > 50
    assert [line for line in lines if not re.match(r"[a-z0-9.-]+==[\w.+]+( ;|  *#|$)", line)] == []
    assert not any("://" in line or line.startswith("-") for line in lines)
