"""What a run can be explained and repeated with: code, command, packages, machine, seeds. All of it without secrets.

Runs on a thread of its own after `init` has returned; only the states of the random generators are taken in `init`
itself, since training moves them on. Whatever can't be found out is left out.
"""

from __future__ import annotations

import getpass
import os
import platform
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

from runtide import redact, system
from runtide.generators import described
from runtide.plain import plain
from runtide.settings import Settings

# A repository may be anybody's: nothing that its configuration names is run.
GIT = ("git", "-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null")
GIT_TIMEOUT_S = 10.0  # a repository on a slow network disk
DIFF_BYTES_MAX = 256 << 10
PACKAGES_MAX = 5_000

# Variables that change what a training does. Others are nobody's business.
_ENVIRONMENT_NAMES = frozenset(
    (
        "CONDA_DEFAULT_ENV", "CUBLAS_WORKSPACE_CONFIG", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT",
        "PYTHONHASHSEED", "RANK", "VIRTUAL_ENV", "WORLD_SIZE", "XLA_FLAGS",
    )
)  # fmt: skip
_ENVIRONMENT_PREFIXES = (
    "CUDA_", "CUDNN_", "FSDP_", "HIP_", "JAX_", "KMP_", "MKL_", "NCCL_", "NVIDIA_", "OMP_", "OPENBLAS_", "PBS_",
    "PYTORCH_", "ROCR_", "SLURM_", "TF_CPP_", "TF_DETERMINISTIC", "TF_ENABLE_", "TF_FORCE_", "TF_GPU_", "TF_XLA_",
    "TORCH_", "TORCHELASTIC_", "TPU_",
)  # fmt: skip
_NETWORK_DISKS = frozenset(("nfs", "nfs4", "cifs", "smb3", "lustre", "gpfs", "beegfs", "ceph", "glusterfs", "afs"))


def collect(
    settings: Settings, command: Sequence[str] | None, generators: Mapping[str, Any]
) -> Iterator[dict[str, Any]]:
    """Parts of `meta`, the quick ones first. `command`: what is tracked, if it isn't this Python program.

    `generators`: what `generators.states` gave.
    """
    parts: list[tuple[bool, Callable[[], dict[str, Any]]]] = [
        (settings.capture_command, lambda: _command(command)),
        (True, _python),
        (settings.capture_user, _user),
        (settings.capture_environment, _environment),
        (settings.capture_seeds, lambda: _seeds(generators)),
        (settings.capture_hardware, system.describe_hardware),
        (settings.capture_git, lambda: _git(command)),
        (settings.capture_packages, _packages),
        (settings.capture_git and settings.capture_diff, lambda: _diff(command)),
    ]
    for wanted, part in parts:
        found: dict[str, Any] = {}
        if wanted:
            with suppress(Exception):  # one part that fails must not take the others with it
                found = part()
        if found:
            # The diff has a limit of its own, larger than other texts'.
            yield {name: value if name == "git/diff" else plain(value) for name, value in found.items()}


def network_disk(path: str) -> str | None:
    """The kind of network file system that `path` is on; None if it is on a local disk, or it can't be told."""
    try:
        with open("/proc/self/mounts", encoding="utf-8", errors="replace") as file:
            mounts = [line.split()[1:3] for line in file]
    except OSError:
        return None
    real = os.path.realpath(path)
    best = max(
        ((point, kind) for point, kind in mounts if real == point or real.startswith(point.rstrip("/") + "/")),
        key=lambda mount: len(mount[0]),
        default=("", ""),
    )
    return best[1] if best[1] in _NETWORK_DISKS else None


def _command(command: Sequence[str] | None) -> dict[str, Any]:
    argv = list(command) if command else sys.orig_argv[1:] if sys.argv[:1] == ["-c"] else list(sys.argv)
    found: dict[str, Any] = {"argv": redact.arguments(argv), "cwd": os.getcwd()}
    script = None if command else _script()
    if script:
        found["script"] = script
    spec = None if command else getattr(sys.modules.get("__main__"), "__spec__", None)
    if spec is not None:  # python -m: the path of its file in argv would start something else
        found["module"] = spec.name.removesuffix(".__main__")
    return found


def _python() -> dict[str, Any]:
    return {
        "python/version": platform.python_version(),
        "python/implementation": platform.python_implementation(),
        "python/executable": sys.executable,
        "platform": platform.platform(),
        "hostname": platform.node(),
    }


def _user() -> dict[str, Any]:
    return {"user": getpass.getuser()}


def _environment() -> dict[str, Any]:
    return {
        f"env/{name}": redact.HIDDEN if redact.is_secret_name(name) else redact.text(value, assignments=True)
        for name, value in sorted(os.environ.items())
        if name in _ENVIRONMENT_NAMES or name.startswith(_ENVIRONMENT_PREFIXES)
    }


def _packages() -> dict[str, Any]:
    """Names and versions, read off the directories' names: 100 times faster than reading each package's metadata."""
    versions: dict[str, str] = {}
    for path in reversed(sys.path):  # what comes first on the path wins
        with suppress(OSError):
            for entry in os.listdir(path or "."):
                stem, _, kind = entry.rpartition(".")
                name, dash, version = stem.partition("-")
                if kind in ("dist-info", "egg-info") and dash:
                    versions[name.replace("_", "-").lower()] = version.partition("-py")[0]
    return {"packages": dict(sorted(versions.items())[:PACKAGES_MAX])}


def _seeds(generators: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {"seed/pythonhashseed": os.environ.get("PYTHONHASHSEED", "random")}
    found |= described(generators)
    torch, jax = sys.modules.get("torch"), sys.modules.get("jax")
    if "torch" in generators and torch is not None:
        found["seed/torch"] = torch.initial_seed()
    if torch is not None:
        with suppress(Exception):
            found["deterministic/torch_algorithms"] = torch.are_deterministic_algorithms_enabled()
            found["deterministic/cudnn"] = torch.backends.cudnn.deterministic
            found["deterministic/cudnn_benchmark"] = torch.backends.cudnn.benchmark
            found["deterministic/float32_matmul"] = torch.get_float32_matmul_precision()
    if jax is not None:
        with suppress(Exception):
            found["deterministic/jax_x64"] = jax.config.jax_enable_x64
            found["deterministic/jax_matmul"] = jax.config.jax_default_matmul_precision
    return found


def _git(command: Sequence[str] | None) -> dict[str, Any]:
    place = _code_directory(command)
    found: dict[str, Any] = {}
    answer = _run_git(place, "rev-parse", "HEAD", "--show-toplevel")
    if answer is None:
        return found
    found["git/commit"], _, root = answer.strip().partition("\n")
    found["git/root"] = root
    found["git/branch"] = (_run_git(place, "rev-parse", "--abbrev-ref", "HEAD") or "").strip()
    remote = (_run_git(place, "config", "--get", "remote.origin.url") or "").strip()
    if remote:
        found["git/remote"] = redact.text(remote)
    status = _run_git(place, "status", "--porcelain", "--untracked-files=no")
    if status is not None:
        found["git/dirty"] = bool(status.strip())
    return found


def _diff(command: Sequence[str] | None) -> dict[str, Any]:
    diff = _run_git(_code_directory(command), "diff", "--no-ext-diff", "--no-textconv", "--no-color", "HEAD")
    if not diff:
        return {}
    return {"git/diff": redact.text(diff, assignments=True)}


def _run_git(place: str, *arguments: str) -> str | None:
    """What git says, at most DIFF_BYTES_MAX of it; None if it fails."""
    command = [*GIT, "-C", place, *arguments]
    environment = {**os.environ, "GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}
    try:
        process = subprocess.Popen(
            command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
    except OSError:
        return None
    watchdog = threading.Timer(GIT_TIMEOUT_S, process.kill)
    watchdog.daemon = True
    watchdog.start()
    try:
        with process:
            output = process.stdout.read(DIFF_BYTES_MAX + 1) if process.stdout else b""
            if len(output) > DIFF_BYTES_MAX:
                process.kill()
                whole = output[: output.rfind(b"\n", 0, DIFF_BYTES_MAX) + 1]  # half a secret would not be known as one
                return f"{whole.decode(errors='replace')}... (cut off at {DIFF_BYTES_MAX} bytes)\n"
            code = process.wait()
    finally:
        watchdog.cancel()
    return output.decode(errors="replace") if code == 0 else None


def _code_directory(command: Sequence[str] | None) -> str:
    script = None if command else _script()
    return os.path.dirname(script) if script else os.getcwd()


def _script() -> str | None:
    """The program's main file, if it is one."""
    path = getattr(sys.modules.get("__main__"), "__file__", None)
    return os.path.abspath(path) if isinstance(path, str) and os.path.exists(path) else None
