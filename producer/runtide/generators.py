"""The states of the random generators when a run began: taken, written down, and set again.

Only of libraries that are imported already: what is imported later was not seeded yet either.
"""

from __future__ import annotations

import base64
import json
import random
import sys
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

RESTORE_VARIABLE = "RUNTIDE_GENERATORS"  # a file with `described` states, for the first `init` of a process to set


def states() -> dict[str, Any]:
    """As they are now. About 50 us: training moves them on, so `init` itself has to take them."""
    found: dict[str, Any] = {}
    with suppress(Exception):
        found["random"] = random.getstate()
    numpy_random, torch = sys.modules.get("numpy.random"), sys.modules.get("torch")
    if numpy_random is not None:
        with suppress(Exception):
            found["numpy"] = numpy_random.get_state(legacy=False)
    if torch is not None:
        with suppress(Exception):
            found["torch"] = torch.get_rng_state()
    return found


def described(taken: Mapping[str, Any]) -> dict[str, Any]:
    """States as values of `meta`."""
    found: dict[str, Any] = {}
    if "random" in taken:
        version, words, gauss = taken["random"]
        data = b"".join(word.to_bytes(4, "little") for word in words)
        found["rng/random"] = {"version": version, "state": _base64(data), "gauss": gauss}
    if "numpy" in taken:
        state = taken["numpy"]
        found["rng/numpy"] = {
            "bit_generator": state["bit_generator"],
            "state": _base64(state["state"]["key"].tobytes()),
            "pos": int(state["state"]["pos"]),
            "gauss": float(state["gauss"]) if state["has_gauss"] else None,
        }
    if "torch" in taken:
        found["rng/torch"] = _base64(bytes(taken["torch"].tolist()))
    return found


def restore(meta: Mapping[str, Any]) -> list[str]:
    """Set what `described` wrote. The libraries whose generator could not be set, which are not imported for it."""
    failed = []
    for name, setter in (("random", _set_random), ("numpy", _set_numpy), ("torch", _set_torch)):
        if f"rng/{name}" in meta:
            try:
                setter(meta[f"rng/{name}"])
            except Exception:  # noqa: BLE001 - another version's state, or a library that isn't there
                failed.append(name)
    return failed


def restore_from(path: str) -> list[str]:
    """`restore` from a JSON file; all of it failed if that can't be read."""
    try:
        with open(path, encoding="utf-8") as file:
            return restore(json.load(file))
    except (OSError, ValueError):
        return ["all"]


def _set_random(state: Mapping[str, Any]) -> None:
    data = base64.b64decode(state["state"])
    words = tuple(int.from_bytes(data[at : at + 4], "little") for at in range(0, len(data), 4))
    random.setstate((state["version"], words, state["gauss"]))


def _set_numpy(state: Mapping[str, Any]) -> None:
    numpy = sys.modules["numpy"]
    key = numpy.frombuffer(base64.b64decode(state["state"]), numpy.uint32)
    gauss = state.get("gauss")
    numpy.random.set_state((state["bit_generator"], key, state["pos"], int(gauss is not None), gauss or 0.0))


def _set_torch(state: str) -> None:
    torch = sys.modules["torch"]
    torch.set_rng_state(torch.tensor(list(base64.b64decode(state)), dtype=torch.uint8))


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
