"""docs/integrations.md: the examples of the libraries that are here run; tests/libraries runs the others."""

import importlib
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import runtide
from runtide.integrations import library
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


@pytest.mark.parametrize(
    ("module", "missing", "install"),
    [
        ("keras", "keras", "keras"), ("lightning", "lightning", "lightning"), ("xgboost", "xgboost", "xgboost"),
        ("transformers", "transformers", "transformers"), ("opentelemetry", "opentelemetry", "opentelemetry-sdk"),
    ],
)  # fmt: skip
def test_a_library_that_is_missing_is_named(
    module: str, missing: str, install: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name == missing or name.startswith(f"{missing}.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delitem(sys.modules, f"runtide.integrations.{module}", raising=False)
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(ModuleNotFoundError, match=rf"is not installed: pip install {install}$"):
        importlib.import_module(f"runtide.integrations.{module}")


def test_what_a_library_itself_lacks_is_told_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "broken_library.py").write_text("import not_there_at_all")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="No module named 'not_there_at_all'"):
        library("broken_library")
