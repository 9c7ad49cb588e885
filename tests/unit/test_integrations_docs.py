"""docs/integrations.md: the examples of the libraries that are here run; tests/libraries runs the others."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import runtide
from tests.fixtures.journals import BARE, journal, journals

DOCUMENT = Path(__file__).parents[2] / "docs" / "integrations.md"
X = np.random.default_rng(0).normal(size=(100, 3))
Y = (X[:, 0] > 0).astype(int)


def example(title: str) -> str:
    """The code under a heading."""
    section = DOCUMENT.read_text().split(f"\n## {title}\n")[1].split("\n## ")[0]
    [code] = re.findall(r"^```python\n(.*?)^```", section, re.MULTILINE | re.DOTALL)
    return str(code)


def names() -> dict[str, Any]:
    """What the examples take as given."""
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
    from sklearn.linear_model import LogisticRegression, SGDClassifier
    from sklearn.model_selection import GridSearchCV

    found: dict[str, Any] = {name: pytest.importorskip(name) for name in ("xgboost", "lightgbm", "optuna")}
    found["optuna"].logging.set_verbosity(found["optuna"].logging.ERROR)
    found |= {"X": X, "y": Y, "X_test": X[80:], "y_test": Y[80:], "GridSearchCV": GridSearchCV, "runtide": runtide}
    found |= {"LogisticRegression": LogisticRegression, "SGDClassifier": SGDClassifier}
    return found | {"MeterProvider": MeterProvider, "PeriodicExportingMetricReader": PeriodicExportingMetricReader}


@pytest.mark.parametrize(
    ("title", "metric"),
    [
        ("scikit-learn", "search/mean_test_score"), ("XGBoost", "test-logloss"), ("LightGBM", "valid_0/binary_logloss"),
        ("Optuna", "best_value"), ("TensorBoard", "weights/p50"), ("OpenTelemetry", "tokens/source=web"),
    ],
)  # fmt: skip
def test_the_example_runs(title: str, metric: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNTIDE_DIR", str(tmp_path / "others"))  # for runs that the example begins
    for name, value in BARE.items():
        monkeypatch.setenv(f"RUNTIDE_{name.upper()}", str(value))
    with runtide.init("docs", dir=tmp_path / "journal", settings=BARE):
        exec(compile(example(title), f"docs/integrations.md {title}", "exec"), names())
    assert journal(tmp_path / "journal").points(metric)
    if title == "Optuna":
        assert len(journals(tmp_path / "others")) == 5


def test_the_example_of_prometheus_serves(tmp_path: Path) -> None:
    given = names()
    with runtide.init("docs", dir=tmp_path, settings=BARE):
        exec(compile(example("Prometheus"), "docs/integrations.md Prometheus", "exec"), given)
    given["server"].shutdown()
    given["server"].server_close()


def test_every_adapter_is_documented() -> None:
    folder = Path(runtide.__file__).parent / "integrations"
    modules = {path.stem for path in folder.glob("*.py")} - {"__init__", "sklearn_plots", "torch"}
    document = DOCUMENT.read_text()
    assert modules
    assert [name for name in modules if f"from runtide.integrations.{name} import" not in document] == []
