"""How the pages are started: the same from every folder, on loopback, and without asking anything of the outside."""

import os
import subprocess
import sys
import tomllib
from pathlib import Path

from runtide_dashboard import launch


def test_it_listens_on_loopback_only() -> None:
    command = launch.command(12345)
    assert command[command.index("--server.address") + 1] == "127.0.0.1"
    assert command[command.index("--server.port") + 1] == "12345"
    assert command[command.index("--browser.gatherUsageStats") + 1] == "false"
    assert command[command.index("--client.showErrorDetails") + 1] == "none"


def test_other_apps_settings_stay_out() -> None:
    assert launch.environment({"STREAMLIT_THEME_BASE": "dark", "PATH": "/bin"}) == {"PATH": "/bin"}


def test_its_configuration_lies_beside_the_script() -> None:
    config = tomllib.loads((launch.APP.parent / ".streamlit" / "config.toml").read_text())
    assert config["browser"]["gatherUsageStats"] is False
    for variant in ("light", "dark"):
        assert len(config["theme"][variant]["chartCategoricalColors"]) == 8
    assert not any(name.endswith("Color") for name in config["theme"])  # it would switch the dark variant off


def test_its_configuration_is_read_in_any_folder(tmp_path: Path) -> None:
    question = (
        "import streamlit.config as c; from runtide_dashboard import launch;"
        "c._main_script_path = str(launch.APP); c.get_config_options(force_reparse=True);"
        "print(c.get_option('theme.light.primaryColor'), c.get_option('server.address'))"
    )
    (tmp_path / ".streamlit").mkdir()
    (tmp_path / ".streamlit" / "config.toml").write_text('[server]\naddress = "0.0.0.0"\n')
    asked = subprocess.run(
        [sys.executable, "-c", question], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=True,
        env=launch.environment() | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    assert asked.stdout.split() == ["#1b59f8", "127.0.0.1"]


def test_nothing_is_fetched_from_outside() -> None:
    folder = launch.APP.parent
    sources = [path for kind in ("*.js", "*.css", "*.html", "*.toml", "*.py") for path in folder.rglob(kind)]
    assert len(sources) > 20
    for path in sources:
        text = path.read_text().replace("http://www.w3.org/2000/svg", "")  # a name, never fetched
        text = text.replace("f\"Runtide's pages: http://", "")
        assert "http://" not in text and "https://" not in text, path
