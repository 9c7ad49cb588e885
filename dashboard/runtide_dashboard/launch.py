"""How the pages are started, by people (`python -m runtide_dashboard`) and by the supervisor of the local stack.

`.streamlit/config.toml` beside `app.py` is read in whatever folder the server is started: Streamlit looks beside the
script. What nobody's own configuration may override (loopback, no statistics, no traces on the page) is said again
here, because the command line wins over every file.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

HOST = "127.0.0.1"
PORT = 17702
HEALTH_PATH = "/_stcore/health"
LOGIN = "RUNTIDE_DASHBOARD_LOGIN"  # the file of login.py
APP = Path(__file__).with_name("app.py")

_FIXED = {
    "server.headless": "true",
    "server.fileWatcherType": "none",
    "runner.postScriptGC": "false",  # a full collection after every refresh of every reader held up all of them
    "server.showEmailPrompt": "false",
    "browser.gatherUsageStats": "false",
    "client.showErrorDetails": "none",
    "client.toolbarMode": "viewer",
}


def command(port: int = PORT, address: str = HOST, login: str | None = None) -> list[str]:
    """The argument list that serves the pages on `address`:`port`. `login`: the file of login.py, if there is one."""
    options = {"server.address": address, "server.port": str(port), **_FIXED}
    if login:
        options["secrets.files"] = os.path.abspath(login)
    flags = [word for name, value in options.items() for word in (f"--{name}", value)]
    return [sys.executable, "-m", "streamlit", "run", str(APP), *flags]


def environment(base: Mapping[str, str] | None = None) -> dict[str, str]:
    """`base` (default: ours) without the STREAMLIT_* settings of other apps, which would change how the pages look."""
    source = os.environ if base is None else base
    return {name: value for name, value in source.items() if not name.startswith("STREAMLIT_")}
