"""The Dockerfile's steps, run in a plain folder: does what it copies install, and do the commands of the image start?

Says how large the image's own part is. The base image, USER and what needs an engine are not tried.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
INSTALLED = "/opt/runtide"  # in the image
COMMANDS = (["--help"], ["worker", "--help"], ["migrate", "--help"], ["dashboard", "--help"], ["doctor", "--help"])


def main() -> int:
    text = re.sub(r"\\\n\s*", "", (ROOT / "Dockerfile").read_text())
    build, final = re.split(r"^FROM .*\n", text, flags=re.MULTILINE)[1:]
    with tempfile.TemporaryDirectory() as folder:
        context, installed = Path(folder) / "src", Path(folder) / "runtide"
        context.mkdir()
        for words in re.findall(r"^COPY (.+)$", build, re.MULTILINE):
            *sources, _ = words.split()
            for source in sources:
                _copy(ROOT / source, context / source)
        for command in re.findall(r"^RUN (.+)$", build, re.MULTILINE):
            here = command.replace(INSTALLED, str(installed)).replace("python -m venv", f"{sys.executable} -m venv")
            done = subprocess.run(["/bin/sh", "-ec", here], cwd=context, check=False, stdout=subprocess.DEVNULL)
            if done.returncode != 0:
                print(f"image: this step fails with {done.returncode}: RUN {command}")
                return 1
        shutil.rmtree(context)  # the final image has only what was installed
        env = {name: text for name, text in os.environ.items() if not name.startswith(("RUNTIDE_", "PYTHON"))}
        [told] = re.findall(r"^ENV (.+)$", final, re.MULTILINE)
        env |= {name: text for name, text in re.findall(r"\b([A-Z_]+)=(\S+)", told) if name != "PATH"}
        for arguments in COMMANDS:
            started = [str(installed / "bin" / "runtide"), *arguments]
            if subprocess.run(started, env=env, cwd=folder, check=False, stdout=subprocess.DEVNULL).returncode != 0:
                print(f"image: runtide {' '.join(arguments)} fails")
                return 1
        size = sum(path.lstat().st_size for path in installed.rglob("*"))
        print(f"image: its steps run, {len(COMMANDS)} commands start, {size / 1e6:.0f} MB over the base image")
    return 0


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        shutil.copyfile(source, target)


if __name__ == "__main__":
    sys.exit(main())
