"""How to run a program again, from whatever was captured."""

from typing import Any

import pytest

from runtide_storage.recipe import recipe

GIT = {"git/root": "/home/me/code", "git/commit": "abc", "cwd": "/home/me/code"}


@pytest.mark.parametrize(
    ("meta", "lines"),
    [
        ({"git/commit": "abc"}, []),
        ({"argv": "odd"}, []),
        ({"argv": ["/opt/trainer", "-x"]}, ["/opt/trainer -x"]),
        ({"argv": ["train.py", "--name", "a b"]}, ["python train.py --name 'a b'"]),
        (GIT | {"argv": ["train.py"]}, ["git checkout abc", "python train.py"]),
        (GIT | {"argv": ["/home/me/code/src/train.py"]}, ["git checkout abc", "python src/train.py"]),
        (
            GIT | {"cwd": "/home/me/code/jobs", "argv": ["/home/me/code/src/train.py"], "git/diff": "diff --git"},
            ["git checkout abc", "git apply uncommitted.diff  # it is below", "cd jobs", "python ../src/train.py"],
        ),
        ({"module": "pkg.train", "argv": ["/x/pkg/train.py", "-v"]}, ["python -m pkg.train -v"]),
        ({"argv": ["t.py"], "env/OMP_NUM_THREADS": "4", "env/RANK": "0"}, ["OMP_NUM_THREADS=4 python t.py"]),
        ({"argv": ["t.py"], "seed/pythonhashseed": "0"}, ["PYTHONHASHSEED=0 python t.py"]),
        ({"argv": ["entry"], "script": "/x/bin/entry"}, ["python entry"]),
    ],
)
def test_the_shells_lines(meta: dict[str, Any], lines: list[str]) -> None:
    assert recipe(meta).shell() == lines


@pytest.mark.parametrize(
    ("meta", "word"),
    [
        ({}, "command line was not captured"),
        ({"argv": ["t.py", "--key", "***"]}, "secret in the command line"),
        ({"argv": ["t.py"]}, "no git repository"),
        (GIT | {"argv": ["t.py"], "git/dirty": True}, "not captured"),
        (GIT | {"argv": ["t.py"], "git/diff": "+x\n... (cut off at 9 bytes)\n"}, "too many to keep"),
        (GIT | {"argv": ["t.py"], "git/diff": "+password = ***\n"}, "a secret in the uncommitted"),
        (GIT | {"argv": ["t.py"], "seed/pythonhashseed": "random"}, "PYTHONHASHSEED"),
        (GIT | {"argv": ["t.py"], "packages": {"numpy": "2"}}, "numpy.random"),
        (GIT | {"argv": ["t.py"], "env/WORLD_SIZE": "8"}, "8 processes"),
    ],
)
def test_what_can_not_be_the_same_is_told(meta: dict[str, Any], word: str) -> None:
    assert any(word in line for line in recipe(meta).missing)


def test_nothing_is_missing_of_a_run_that_said_all() -> None:
    assert recipe(GIT | {"argv": ["t.py"], "seed/pythonhashseed": "0", "env/WORLD_SIZE": "1"}).missing == ()
