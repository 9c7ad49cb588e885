"""Which rules hold for a metric of a run: those of its define_metric(alert=...), and those of alerts.toml."""

from __future__ import annotations

import logging
from fnmatch import fnmatchcase

from runtide_storage import goals
from runtide_workers.alerting.config import AlertSettings
from runtide_workers.alerting.plans import Plan
from runtide_workers.detection import rules
from runtide_workers.detection.rules import Rule

log = logging.getLogger(__name__)


def rules_for(settings: AlertSettings, plan: Plan, metric: str) -> list[Rule]:
    """Both kinds. What a training process wrote wrong is logged and left out: it must not stop the worker."""
    found = []
    spec = goals.defined(plan.facts.rules, metric)
    for each in spec if isinstance(spec, list) else [] if spec is None else [spec]:
        try:
            found.append(rules.parse(each))
        except ValueError as error:
            log.warning("%s: the alert of define_metric(%r) is not used: %s", plan.facts.ref, metric, error)
    return found + [
        rules.parse(rule.spec)
        for rule in settings.rules
        if rule.project in ("", plan.facts.project) and fnmatchcase(metric, rule.metric)
    ]
