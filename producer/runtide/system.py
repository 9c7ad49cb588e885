"""What the machine is doing: CPU, memory, disk, network and GPUs, as `system/*` metrics.

Linux is read from /proc; elsewhere psutil is used if it is installed. GPUs need `nvidia-ml-py`. What can't be read is
left out. The step is the whole seconds since the run started.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096
_TICKS_PER_S = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100
_KIB = 1024


class Sampler:
    """Takes one sample after another; rates are over the time between two. Not thread safe."""

    def __init__(self, disk_path: str) -> None:
        self._disk_path = disk_path
        self._read: Callable[[], dict[str, float]] = _read_proc if sys.platform == "linux" else _psutil_reader()
        self._gpus: list[Any] | None = None
        self._before: dict[str, float] = {}
        self._network_start: dict[str, float] = {}

    def sample(self) -> dict[str, float]:
        """Names without `system/`, to numbers. The first sample has no CPU rates unless `prime` was called before."""
        now = self._counters()
        result = {name: value for name, value in now.items() if not name.startswith("_")}
        result.update(self._rates(now))
        result.update(self._disk())
        result.update(self._gpu_sample())
        self._before = now
        return result

    def prime(self) -> None:
        """Note where the counters stand, so that the first sample has rates."""
        self._before = self._counters()

    def _counters(self) -> dict[str, float]:
        with suppress(Exception):
            return {**self._read(), "_at": time.monotonic()}
        return {"_at": time.monotonic()}

    def _rates(self, now: dict[str, float]) -> dict[str, float]:
        result: dict[str, float] = {}
        before = self._before

        def grown(name: str) -> float:
            return now.get(name, 0.0) - before.get(name, now.get(name, 0.0))

        if grown("_cpu_total") > 0:
            result["cpu_percent"] = round(100 * grown("_cpu_busy") / grown("_cpu_total"), 2)
        if "_process_cpu_s" in before and "_process_cpu_s" in now and grown("_at") > 0:
            result["process/cpu_percent"] = round(100 * grown("_process_cpu_s") / grown("_at"), 2)
        for direction in ("sent", "received"):
            counter = f"_network_{direction}_bytes"
            if counter in now:
                start = self._network_start.setdefault(counter, before.get(counter, now[counter]))
                result[f"network/{direction}_bytes"] = now[counter] - start
        return result

    def _disk(self) -> dict[str, float]:
        try:
            facts = os.statvfs(self._disk_path)
        except (OSError, AttributeError):
            return {}
        total, free = facts.f_blocks * facts.f_frsize, facts.f_bavail * facts.f_frsize
        return {"disk/free_bytes": free, "disk/used_percent": round(100 * (1 - free / total), 2)} if total else {}

    def _gpu_sample(self) -> dict[str, float]:
        if self._gpus is None:
            self._gpus = gpu_handles()
        result: dict[str, float] = {}
        for number, handle in enumerate(self._gpus):
            for name, value in _gpu_values(handle).items():
                result[f"gpu/{number}/{name}"] = value
        return result


def gpu_handles() -> list[Any]:
    """NVIDIA GPUs, as nvidia-ml-py's handles; [] without the library, the driver or a GPU."""
    if not any(os.path.exists(path) for path in ("/dev/nvidiactl", "/dev/dxg", "/proc/driver/nvidia")):
        return []  # loading the library would cost 30 ms for nothing
    try:
        import pynvml

        pynvml.nvmlInit()
        return [pynvml.nvmlDeviceGetHandleByIndex(index) for index in range(pynvml.nvmlDeviceGetCount())]
    except Exception:  # noqa: BLE001 - any state of a driver: no GPUs to speak of
        return []


def describe_hardware() -> dict[str, Any]:
    """CPU, memory and GPUs, for `meta`."""
    found: dict[str, Any] = {"cpu/count": os.cpu_count()}
    with suppress(Exception):
        found["cpu/usable"] = len(os.sched_getaffinity(0))
    with suppress(Exception), open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
        found["cpu/model"] = next(line.partition(":")[2].strip() for line in file if line.startswith("model name"))
    with suppress(Exception):
        found["memory/total_bytes"] = os.sysconf("SC_PHYS_PAGES") * _PAGE_BYTES
    gpus = gpu_handles()
    if gpus:
        found["gpu/count"] = len(gpus)
        with suppress(Exception):
            import pynvml

            found["gpu/names"] = [_text(pynvml.nvmlDeviceGetName(gpu)) for gpu in gpus]
            found["gpu/memory_bytes"] = [int(pynvml.nvmlDeviceGetMemoryInfo(gpu).total) for gpu in gpus]
            found["gpu/driver"] = _text(pynvml.nvmlSystemGetDriverVersion())
    return found


def _gpu_values(handle: Any) -> dict[str, float]:
    import pynvml

    result: dict[str, float] = {}
    with suppress(Exception):
        rates = pynvml.nvmlDeviceGetUtilizationRates(handle)
        result["percent"] = float(rates.gpu)
    with suppress(Exception):
        memory = pynvml.nvmlDeviceGetMemoryInfo(handle)
        result["memory_bytes"] = float(memory.used)
        result["memory_percent"] = round(100 * memory.used / memory.total, 2)
    with suppress(Exception):
        result["power_watts"] = pynvml.nvmlDeviceGetPowerUsage(handle) / 1000
    with suppress(Exception):
        result["temperature_celsius"] = float(pynvml.nvmlDeviceGetTemperature(handle, pynvml.NVML_TEMPERATURE_GPU))
    return result


def _read_proc() -> dict[str, float]:
    """Names with "_" in front are counters to make rates of."""
    result: dict[str, float] = {}
    with suppress(Exception):
        user, nice, system, idle, iowait, *rest = map(float, _read_text("/proc/stat").split("\n", 1)[0].split()[1:9])
        busy = user + nice + system + sum(rest)
        result["_cpu_busy"], result["_cpu_total"] = busy, busy + idle + iowait
    with suppress(Exception):
        memory = {
            line.split(":")[0]: float(line.split()[1]) * _KIB for line in _read_text("/proc/meminfo").splitlines()
        }
        result["memory/available_bytes"] = memory["MemAvailable"]
        result["memory/percent"] = round(100 * (1 - memory["MemAvailable"] / memory["MemTotal"]), 2)
    with suppress(Exception):
        # The program's name may hold anything, a ")" included: what follows the last one is safe to split.
        words = _read_text("/proc/self/stat").rpartition(")")[2].split()
        result["_process_cpu_s"] = (float(words[11]) + float(words[12])) / _TICKS_PER_S
        result["process/threads"] = float(words[17])
        result["process/memory_bytes"] = float(words[21]) * _PAGE_BYTES
    with suppress(Exception):
        for line in _read_text("/proc/net/dev").splitlines()[2:]:
            interface, _, numbers = line.partition(":")
            if interface.strip() != "lo":
                words = numbers.split()
                result["_network_received_bytes"] = result.get("_network_received_bytes", 0.0) + float(words[0])
                result["_network_sent_bytes"] = result.get("_network_sent_bytes", 0.0) + float(words[8])
    return result


def _psutil_reader() -> Callable[[], dict[str, float]]:
    try:
        import psutil
    except ImportError:
        return dict
    process = psutil.Process()

    def read() -> dict[str, float]:
        cpu, memory, network, own = (
            psutil.cpu_times(),
            psutil.virtual_memory(),
            psutil.net_io_counters(),
            process.cpu_times(),
        )
        return {
            "_cpu_busy": sum(cpu) - cpu.idle,
            "_cpu_total": sum(cpu),
            "memory/available_bytes": float(memory.available),
            "memory/percent": float(memory.percent),
            "_process_cpu_s": own.user + own.system,
            "process/memory_bytes": float(process.memory_info().rss),
            "process/threads": float(process.num_threads()),
            "_network_sent_bytes": float(network.bytes_sent),
            "_network_received_bytes": float(network.bytes_recv),
        }

    return read


def _read_text(path: str) -> str:
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read()


def _text(value: str | bytes) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else value
