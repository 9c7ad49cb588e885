"""An alert in words, and what changed against the nearest baseline run. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import xxhash

from runtide_storage import differences
from runtide_workers.detection import Alert

SHOWN_MAX = 8  # changed settings in a text; `detail` has more
KEPT_MAX = 50
VALUE_CHARS_MAX = 80
COMMIT_CHARS = 10
PARTS = ("config", "dataset", "input", "hardware", "packages", "environment")  # in the order of a text

Values = Mapping[str, Any]


def changes(run: Values, other: Values) -> dict[str, Any]:
    """What `run` has otherwise than `other`: commit, diff, and by part what is told apart in `differences`.

    Each part maps a name to [there, here]; None: not there.
    """
    here, there = differences.parts(run), differences.parts(other)
    found: dict[str, Any] = {}
    code, code_there = here.get("code", {}), there.get("code", {})
    commits = code_there.get("commit"), code.get("commit")
    if commits[0] != commits[1]:
        found["commit"] = list(commits)
    diffs = code_there.get("diff") or "", code.get("diff") or ""
    if diffs[0] != diffs[1]:
        found["diff"] = {"files": differences.changed_files(diffs[1])[:KEPT_MAX], "sha256": _digest(diffs[1])}
    for part in PARTS:
        if differing := _differences(there.get(part, {}), here.get(part, {})):
            found[part] = differing
    return found


def size(changed: Mapping[str, Any]) -> int:
    """How many things differ."""
    return sum(1 if part in ("commit", "diff") else len(differing) for part, differing in changed.items())


def nearest(run: Values, members: Sequence[tuple[str, Values]]) -> tuple[str, dict[str, Any]]:
    """(run id, changes) of the member that differs least, of several the latest. `members`: (run id, values), oldest
    first.
    """
    compared = [(run_id, changes(run, values)) for run_id, values in reversed(members)]
    return min(compared, key=lambda each: size(each[1]), default=("", {}))


def cause(changed: Mapping[str, Any]) -> str:
    """The same for runs that changed the same way; "" if nothing did: then each run stands for itself."""
    parts = ("commit", "diff", "config", "packages", "dataset", "input")
    told = {part: changed[part] for part in parts if changed.get(part)}
    return xxhash.xxh3_64_hexdigest(repr(sorted(told.items())).encode("utf-8", "surrogatepass")) if told else ""


def changed_text(changed: Mapping[str, Any], other: str) -> str:
    """One sentence."""
    words = []
    if "commit" in changed:
        old, new = (str(commit or "unknown")[:COMMIT_CHARS] for commit in changed["commit"])
        words.append(f"commit {old}..{new}")
    if "diff" in changed:
        files = changed["diff"]["files"]
        named = ", ".join(files[:3]) + (f" and {len(files) - 3} more" if len(files) > 3 else "")
        words.append(f"uncommitted changes{f' in {named}' if named else ' are gone'}")
    for part in PARTS:
        differing = changed.get(part, {})
        shown = list(differing.items())[:SHOWN_MAX]
        words += [f"{_label(part)}{name} {_short(old)} -> {_short(new)}" for name, (old, new) in shown]
        if len(differing) > SHOWN_MAX:
            words.append(f"{len(differing) - SHOWN_MAX} more of {part}")
    if not other:
        return ""
    if not words:
        return f"Nothing that was recorded changed against {other}."
    return f"Changed against {other}: {'; '.join(words)}."


def title(alert: Alert, metric: str, run: str) -> str:
    """One line."""
    detail = alert.detail
    effect = detail.get("effect")
    amount = f"{abs(effect):.1%} " if isinstance(effect, (int, float)) and abs(effect) < 10 else ""
    words = {
        "regression": f"{metric} of {run} is {amount}worse than its baselines",
        "plateau": f"{metric} of {run} no longer improves as its baselines did",
        "divergence": f"{metric} of {run} diverges",
        "final_regression": f"{metric} of {run} ended {amount}worse than its baselines",
        "throughput": f"{run} is {amount}slower than its baselines",
        "improvement": f"{run} is {amount}faster than its baselines"
        if detail.get("of") == "pace"
        else f"{metric} of {run} is {amount}better than its baselines",
        "nan": f"{metric} of {run} is {detail.get('value', 'NaN')}",
        "spike": f"{metric} of {run} spiked",
        "rule": f"{metric} of {run} broke the rule {detail.get('rule', '')}",
    }
    return words.get(alert.kind, f"{metric} of {run}: {alert.kind}").strip()


def text(alert: Alert, metric: str, last_step: float) -> str:
    """What was found, how big it is, since when. `last_step`: of a usual run, 0 if not known."""
    detail = alert.detail
    where = f"step {alert.step:,}" + (f", {alert.step / last_step:.0%} of a usual run" if last_step > 0 else "")
    if "baseline" not in detail or "effect" not in detail:
        found = {
            "nan": f"{metric} is {detail.get('value', 'not finite')} at {where}.",
            "rule": f"{metric} is {_number(detail.get('value'))} at {where}; the rule says {detail.get('rule', '')}.",
        }
        return found.get(alert.kind, f"{metric}: {alert.kind} at {where}.")
    effect, count = detail["effect"], detail.get("n", 0)
    direction = "worse" if effect > 0 else "better"
    of_pace = alert.kind == "throughput" or detail.get("of") == "pace"
    subject = "The time per step" if of_pace else metric
    levels = f"{_number(detail.get('value'))} against {_number(detail['baseline'])}"
    runs = f"the mean of {count} baseline runs at the same step"
    words = [f"{subject} is {abs(effect):.2%} {direction} than {runs} ({where}): {levels}."]
    if detail.get("spread") is not None:
        words.append(f"The baselines differ among themselves by {_number(detail['spread'])} (1 sd) there.")
    if detail.get("windows"):
        since = f" since step {int(detail['since']):,}" if detail.get("since") is not None else ""
        words.append(f"It has been so{since}, over {detail['windows']} windows in a row.")
    if detail.get("early") and not of_pace and effect > 0:
        words.append("It is early: of runs that end better, 7 % look worse on the way.")
    return " ".join(words)


def _differences(there: Values, here: Values) -> dict[str, list[Any]]:
    names = sorted(name for name in {*there, *here} if not differences.same(there.get(name), here.get(name)))
    return {name: [there.get(name), here.get(name)] for name in names[:KEPT_MAX]}


def _label(part: str) -> str:
    return "" if part in ("packages", "environment") else f"{part}." if part == "config" else f"{part} "


def _short(value: Any) -> str:
    text = "none" if value is None else str(value)
    return text if len(text) <= VALUE_CHARS_MAX else text[: VALUE_CHARS_MAX - 1] + "…"


def _number(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, (int, float)) else str(value)


def _digest(diff: str) -> str:
    return hashlib.sha256(diff.encode("utf-8", "surrogatepass")).hexdigest()[:16]
