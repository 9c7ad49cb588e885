"""Which way a metric should go: as somebody defined it, else by its name."""

from __future__ import annotations

import re
from collections.abc import Mapping
from fnmatch import fnmatchcase
from itertools import pairwise
from typing import Any, Literal

Goal = Literal["minimize", "maximize"]

_LESS = {
    "loss", "losses", "nll", "nlls", "ppl", "perplexity", "bpb", "bpc", "bpd", "ce", "xent", "error", "errors",
    "err", "mse", "rmse", "mae", "mape", "smape", "rmsle", "logloss", "brier", "fid", "kid", "wer", "cer", "mer",
    "ter", "eer", "merror", "fpr", "fnr", "ece", "regret", "latency", "seconds", "ms", "time", "duration",
    "divergence", "cost", "lpips",
}  # fmt: skip
_MORE = {
    "acc", "accuracy", "auc", "auroc", "auprc", "aupr", "ap", "map", "mrr", "ndcg", "f1", "fbeta", "precision",
    "recall", "iou", "miou", "dice", "bleu", "sacrebleu", "chrf", "rouge", "rouge1", "rouge2", "rougel", "meteor",
    "cider", "psnr", "ssim", "r2", "rew", "reward", "rewards", "return", "returns", "score", "throughput", "mfu", "hfu",
    "top1", "top5", "em", "success", "sps", "fps", "tps", "elo", "kappa", "mcc", "specificity", "sensitivity",
    "tpr", "tnr", "winrate", "spearman", "pearson", "clipscore",
}  # fmt: skip
_RATE = re.compile(r"per_(s|sec|second)$|[a-z]/(s|sec|second)$|throughput|(^|[/_.])(mfu|hfu|sps|fps|tps)($|[/_.])")
_PER_STEP = re.compile(
    r"(^|[^a-z])(s|sec|seconds|ms)(/|_per_)(it|iter|iteration|step|batch|sample|token|image|epoch)s?$"
    r"|(step|iter|iteration|batch)_time"
)
_HELD_OUT = {"val", "valid", "validation", "eval", "evaluation", "test", "testing", "dev", "holdout"}


def goal_of(metric: str) -> Goal | None:
    """Minimize, maximize, or None if the name doesn't tell. The last word that tells counts: "loss/val_acc"."""
    name = metric.lower()
    if _PER_STEP.search(name):
        return "minimize"
    if _RATE.search(name):
        return "maximize"
    for word in reversed(_words(metric)):
        if word in _LESS:
            return "minimize"
        if word in _MORE:
            return "maximize"
    return None


def defined(definitions: Mapping[str, Any], metric: str) -> Any | None:
    """What was defined for a metric: under its own name, else under the glob that was defined last."""
    if metric in definitions:
        return definitions[metric]
    globs = [value for name, value in definitions.items() if ("*" in name or "?" in name) and fnmatchcase(metric, name)]
    return globs[-1] if globs else None


def is_throughput(metric: str) -> bool:
    """Does it measure speed (of steps, samples, tokens), whichever way: "tokens/s", "step_time"?"""
    name = metric.lower()
    return bool(_RATE.search(name) or _PER_STEP.search(name))


def is_held_out(metric: str) -> bool:
    """Is it measured on data that is not trained on, by its name: "val_loss", "eval/accuracy", "test/f1"?"""
    return not _HELD_OUT.isdisjoint(_words(metric))


def _words(metric: str) -> list[str]:
    """The words of "valLoss@5/top-1": val, loss, 5, top, 1; then its neighbours as one word: valloss, ..., top1."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", metric).lower()
    words = [word for word in re.split(r"[^a-z0-9]+", spaced) if word]
    return words + [left + right for left, right in pairwise(words)]
