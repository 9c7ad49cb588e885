"""What a setting would have done, had it been there before: a rule on the last runs, a threshold on the healthy ones.

hits = replay_rule(client, parse("> 5"), "llm", "train/*", 100)
print(replay_detection(client, "llm", 4.0).text)
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from fnmatch import fnmatchcase

from runtide_storage import Client
from runtide_workers.alerting.incidents import metrics_for_page
from runtide_workers.detection import Alert
from runtide_workers.detection.cusum import LIMIT
from runtide_workers.detection.rules import Rule

Member = tuple[str, int]  # family, run


@dataclass(frozen=True, slots=True)
class Hit:
    """One curve that a rule was tried on. `alerts` is empty where it would have said nothing."""

    project: str
    run_id: str
    run: str  # its name
    started_at: datetime
    metric: str
    points: int  # as stored, NaN and infinities too
    alerts: list[Alert]

    @property
    def ref(self) -> str:
        return f"{self.project}/{self.run_id}"


@dataclass(frozen=True, slots=True)
class MetricReplay:
    """How the healthy runs of a family fared on one metric, each tested against the others."""

    family: str
    metric: str
    aspect: str  # value | pace
    runs: int
    alarmed: int


@dataclass(frozen=True, slots=True)
class DetectionReplay:
    """How many healthy runs of a project would have alarmed."""

    project: str
    threshold: float
    runs: int  # healthy runs that could be tested
    alarmed: int  # on any metric
    paged: int  # on the primary metric, or on several: people would have been told
    metrics: list[MetricReplay]

    @property
    def text(self) -> str:
        """One sentence for people."""
        if not self.runs:
            return f"{self.project} has no healthy runs to try this on yet: a family needs at least three that finished"
        times = {0: "never", 1: "once", 2: "twice"}.get(self.paged, f"{self.paged} times")
        more = self.alarmed - self.paged
        warned = f", and have shown a warning on {more} more" if more else ""
        runs = f"last {self.runs} healthy runs" if self.runs > 1 else "only healthy run"
        return f"on your {runs} this setting would have paged {times}{warned}"


def replay_rule(client: Client, rule: Rule, project: str, metric_glob: str, limit: int) -> list[Hit]:
    """The rule on every metric that fits, of the newest `limit` finished runs of a project; the newest run first.

    Points are read block by block, in order of step, without what a later attempt superseded. A rule that runs along
    sees them in order of arrival, so that one of a run that went back to an earlier step may differ.
    """
    found = []
    for run in client.runs(project, where={"state": "finished"}, limit=limit):
        ref = f"{run['project']}/{run['run_id']}"
        for curve in client.metrics(ref):
            if curve["metric"] == metric_glob or fnmatchcase(curve["metric"], metric_glob):
                alerts = _along(client, rule, ref, curve["metric"])
                found.append(
                    Hit(
                        run["project"],
                        run["run_id"],
                        run["run"],
                        run["started_at"],
                        curve["metric"],
                        curve["n"],
                        alerts,
                    )
                )
    return found


def _along(client: Client, rule: Rule, ref: str, metric: str) -> list[Alert]:
    state, alerts = rule.start(), []
    for block in client.points(ref, metric):
        alerts += rule.update(state, block.arrow["step"].to_numpy(), block.arrow["value"].to_numpy())
    return alerts


def replay_detection(client: Client, project: str, threshold: float = LIMIT) -> DetectionReplay:
    """How many healthy runs of a project would have alarmed at this threshold, by leave-one-out tests.

    Each baseline run was tested against the other baselines of its family when they were fitted; the highest statistic
    that it came to is stored. It pages by the rules that a live run does (`incidents`).
    """
    primary: dict[str, str] = {}
    for plan in client.plans(project=project):  # the newest first
        if plan["primary"]:
            primary.setdefault(plan["family"], plan["primary"])
    watched: dict[Member, set[str]] = {}
    alarmed: dict[Member, set[tuple[str, str]]] = {}
    metrics: dict[tuple[str, str, str], list[bool]] = {}
    for row in client.peaks(project):
        member, curve = (row["family"], row["run"]), (row["metric"], row["aspect"])
        is_above = row["peak"] > threshold
        watched.setdefault(member, set()).add(row["metric"])
        metrics.setdefault((row["family"], *curve), []).append(is_above)
        if is_above:
            alarmed.setdefault(member, set()).add(curve)
    paged = sum(_pages(curves, primary.get(member[0]), len(watched[member])) for member, curves in alarmed.items())
    by_metric = [MetricReplay(*key, len(above), sum(above)) for key, above in metrics.items()]
    return DetectionReplay(project, threshold, len(watched), len(alarmed), paged, by_metric)


def _pages(curves: set[tuple[str, str]], primary: str | None, watched: int) -> bool:
    """Whether alarms on these (metric, aspect), of so many watched metrics, are more than warnings."""
    return (primary, "value") in curves or len({metric for metric, _ in curves}) >= metrics_for_page(watched)
