"""Names, numbers and states as people read them."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtide_dashboard import formats, metrics, names, status

NAMES = st.lists(st.text(alphabet="ab-/_1", min_size=1, max_size=12), min_size=1, max_size=6)


@given(NAMES)
def test_shortening_keeps_names_apart(given: list[str]) -> None:
    short = names.shorten(given)
    assert len(set(short)) == len(set(given))
    assert all(full.endswith(cut) and cut for full, cut in zip(given, short, strict=True))


@given(NAMES)
def test_the_common_prefix_is_common_and_ends_at_a_separator(given: list[str]) -> None:
    prefix = names.common_prefix(given)
    assert all(name.startswith(prefix) for name in given)
    assert prefix == "" or prefix[-1] in "-_./: "


def test_a_shared_word_is_left_out_but_never_cut() -> None:
    assert names.shorten(["llm-7b-base-00", "llm-7b-base-01"]) == ["00", "01"]
    assert names.shorten(["baseline", "baseball"]) == ["baseline", "baseball"]
    assert names.shorten(["only-one"]) == ["only-one"]


def test_runs_of_the_same_name_get_their_ids() -> None:
    assert names.distinct(["a", "b", "a"], ["1", "2", "3"]) == ["a (1)", "b", "a (3)"]


@pytest.mark.parametrize(
    "hostile", ["**b**", "![x](http://h/p.png)", "<img src=x>", ":material/home:", "$x$", "`c`", "[a](b)"]
)
def test_no_markup_survives(hostile: str) -> None:
    escaped = names.plain(hostile)
    assert escaped.replace("\\", "") == hostile.replace("\\", "")
    for i, character in enumerate(escaped):
        if character in "*_`[]<>$:!":
            assert escaped[i - 1] == "\\"


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (0, "0"), (1, "1"), (1234567, "1,234,567"), (0.27161, "0.2716"), (2.5, "2.500"), (-3.25, "−3.250"),
        (1e-5, "1.000e−5"), (123456789.5, "1.235e8"), (float("nan"), "NaN"), (float("-inf"), "−Inf"), (None, "–"),
    ],
)  # fmt: skip
def test_numbers(value: float | None, words: str) -> None:
    assert formats.number(value) == words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 s"),
        (0.2, "< 1 s"),
        (42, "42 s"),
        (200, "3 min 20 s"),
        (3600, "1 h"),
        (18420, "5 h 7 min"),
        (187200, "2 d 4 h"),
    ],
)
def test_durations(seconds: float, words: str) -> None:
    assert formats.duration(seconds) == words


def test_ages() -> None:
    now = datetime(2026, 11, 21, tzinfo=UTC)
    assert formats.ago(now - timedelta(seconds=12), now) == "12 s ago"


def test_counts() -> None:
    assert [formats.count(n, "run") for n in (0, 1, 1204)] == ["0 runs", "1 run", "1,204 runs"]


def test_sizes() -> None:
    assert [formats.size(n) for n in (0, 812, 999, 1000, 3_400_000, 999_999, 10**15, 5 * 10**17)] == [
        "0 B", "812 B", "999 B", "1 kB", "3.4 MB", "1 MB", "1,000 TB", "500,000 TB",
    ]  # fmt: skip


def test_every_state_has_a_sign_and_a_word() -> None:
    labels = [status.label(state) for state in status.STATES]
    assert len(set(labels)) == len(labels)
    assert status.label("something new") == "○ something new"
    assert status.state_of("running", "stalled") == "stalled"
    assert status.state_of("finished", "stalled") == "finished"


def test_the_machine_comes_last() -> None:
    found = metrics.most_telling(["system/cpu", "lr", "train/loss", "eval/accuracy", "eval/loss"], 3)
    assert found == ["eval/loss", "eval/accuracy", "train/loss"]
    assert metrics.most_telling(["system/cpu"], 3) == ["system/cpu"]
