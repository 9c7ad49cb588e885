"""Imports go one way: the SDK knows nothing of the rest, storage only the SDK, workers and pages never each other."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = {
    "runtide": ("producer", set[str]()),
    "runtide_storage": ("storage", {"runtide"}),
    "runtide_workers": ("stream_workers", {"runtide", "runtide_storage"}),
    "runtide_dashboard": ("dashboard", {"runtide", "runtide_storage"}),
}
# The SDK's only dependencies, and what it uses where it happens to be there.
SDK_THIRD_PARTY = {"aiokafka", "orjson", "psutil", "pynvml", "cramjam", "numpy", "torch"}


def imports(package: str) -> Iterator[tuple[str, str]]:
    """(file and line, top-level module) of every import statement, those inside functions too."""
    for path in sorted((ROOT / PACKAGES[package][0] / package).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            where = f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 0)}"
            if isinstance(node, ast.Import):
                yield from ((where, alias.name.partition(".")[0]) for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                yield where, node.module.partition(".")[0]


@pytest.mark.parametrize("package", PACKAGES)
def test_imports_go_one_way(package: str) -> None:
    allowed = PACKAGES[package][1] | {package}
    wrong = [f"{where} imports {name}" for where, name in imports(package) if name in PACKAGES and name not in allowed]
    assert wrong == []


def test_the_sdk_needs_two_packages_only() -> None:
    import sys

    known = SDK_THIRD_PARTY | {"runtide"} | set(sys.stdlib_module_names)
    assert [f"{where} imports {name}" for where, name in imports("runtide") if name not in known] == []


def test_only_the_pages_import_streamlit() -> None:
    others = [package for package in PACKAGES if package != "runtide_dashboard"]
    assert [where for package in others for where, name in imports(package) if name == "streamlit"] == []
