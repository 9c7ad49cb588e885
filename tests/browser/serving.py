"""The dashboard as a process of its own, and the system's Chromium: for tests and for benchmarks."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from runtide_dashboard import launch

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update",
)  # fmt: skip


def browser_path() -> str | None:
    """Where the system's Chromium is, if it has one."""
    return next((found for name in BROWSERS if (found := shutil.which(name))), None)


class Served:
    """The dashboard's process, from an empty folder, for the time of a `with`. `env`: where its storage is."""

    def __init__(self, folder: Path, env: Mapping[str, str], port: int) -> None:
        self.url = f"http://{launch.HOST}:{port}"
        self._folder, self._env, self._port = folder, env, port

    def __enter__(self) -> Self:
        elsewhere = self._folder / "elsewhere"
        elsewhere.mkdir(exist_ok=True)
        env = launch.environment() | {"PYTHONPATH": os.environ.get("PYTHONPATH", "")} | dict(self._env)
        self._log = open(self._folder / "dashboard.log", "wb")
        self.process = subprocess.Popen(
            launch.command(self._port, login=env.get(launch.LOGIN)),
            cwd=elsewhere,
            env=env,
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )
        deadline = time.monotonic() + 60
        while True:
            try:
                with urllib.request.urlopen(self.url + launch.HEALTH_PATH, timeout=2):
                    return self
            except (OSError, urllib.error.URLError):
                assert self.process.poll() is None, (self._folder / "dashboard.log").read_text()
                assert time.monotonic() < deadline, "the dashboard did not start"
                time.sleep(0.1)

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self._log.close()
