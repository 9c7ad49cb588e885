"""The threshold that a project's own healthy runs ask for."""

import pytest

from runtide_workers.alerting.calibration import STEPS, Calibration, calibrated
from runtide_workers.alerting.config import AlertSettings, ProjectSettings


@pytest.mark.parametrize(
    ("peaks", "expected"),
    [
        ([], None),
        ([100.0] * 50, None),  # too few to tell a rate
        ([0.0] * 200, None),
        ([0.0] * 199 + [5.0], None),  # 0.5 %: the default will do
        ([0.0] * 190 + [5.0] * 10, 6.0),
        ([0.0] * 190 + [15.0] * 10, 16.0),
        ([0.0] * 190 + [1000.0] * 10, STEPS[-1]),
    ],
)
def test_calibrated(peaks: list[float], expected: float | None) -> None:
    assert calibrated(peaks, default=4.0) == expected


class Cohorts:
    asked = 0

    def peaks(self, project: str) -> list[float]:
        self.asked += 1
        return [0.0] * 190 + [7.0] * 10


def test_people_come_first_and_storage_is_asked_now_and_then() -> None:
    now = [0.0]
    cohorts = Cohorts()
    settings = AlertSettings(projects={"mine": ProjectSettings("mine", threshold=9.0)})
    calibration = Calibration(cohorts, settings, lambda: now[0])  # type: ignore[arg-type]
    assert calibration.threshold("mine") == 9.0 and cohorts.asked == 0
    assert [calibration.threshold("other") for _ in range(3)] == [8.0] * 3 and cohorts.asked == 1
    now[0] = 100.0
    assert calibration.threshold("other") == 8.0 and cohorts.asked == 2
