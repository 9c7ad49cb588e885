"""Many trainers at once, through one shipper and one worker."""

import json

from tests.fixtures.expect import Logged, exactly
from tests.fixtures.stack import Stack


def test_forty_concurrent_trainers_are_stored_exactly(stack: Stack, project: str) -> None:
    trainers = [stack.trainer(project, "--process", number, "--calls", 200) for number in range(40)]
    for trainer in trainers:
        output, _ = trainer.communicate(timeout=100)
        assert trainer.returncode == 0, output
        assert json.loads(output.splitlines()[-1])["calls"] == 200
    exactly(stack.client, project, [Logged(f"p{number}", 200) for number in range(40)])


def test_wide_and_long_calls_are_stored_exactly(stack: Stack, project: str) -> None:
    shapes = {1: (5000, 1), 2: (50, 1000), 3: (2, 20_000)}
    trainers = [
        stack.trainer(project, "--process", number, "--calls", calls, "--scalars", scalars)
        for number, (calls, scalars) in shapes.items()
    ]
    for trainer in trainers:
        output, _ = trainer.communicate(timeout=60)
        assert trainer.returncode == 0, output
    exactly(stack.client, project, [Logged(f"p{n}", calls, scalars) for n, (calls, scalars) in shapes.items()])
