"""Whatever the lines, the segments and the reading, a journal's lines come out once each, in order, with their seq."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given
from hypothesis import strategies as st

from runtide.events import Header, segment_name
from runtide.shipper.progress import Checkpoint, Place, Progress
from runtide.shipper.tail import Limits, Message, Position, Tail, cut

LINES = st.lists(st.binary(max_size=60).map(lambda line: line.replace(b"\n", b"?") + b"\n"), max_size=40)


@given(lines=LINES, torn=st.binary(max_size=5), limit=st.integers(1, 200))
def test_cut_gives_back_every_whole_line_within_the_limit(lines: list[bytes], torn: bytes, limit: int) -> None:
    torn = torn.replace(b"\n", b"?")
    data = b"".join(lines) + torn
    pieces = [data[start:stop] for start, stop in cut(data, limit)]
    assert b"".join(pieces) == b"".join(lines)
    assert all(piece.endswith(b"\n") and (len(piece) <= limit or piece.count(b"\n") == 1) for piece in pieces)


@given(
    segments=st.lists(LINES, min_size=1, max_size=4),
    limit=st.integers(1, 300),
    budget=st.integers(1, 300),
    stops=st.lists(st.integers(0, 5), max_size=4),
)
def test_a_tail_reads_each_line_once_wherever_it_is_resumed(
    segments: list[list[bytes]], limit: int, budget: int, stops: list[int]
) -> None:
    with TemporaryDirectory() as folder:
        seq, expected = 0, []
        for number, lines in enumerate(segments):
            header = Header("p", "r", "w", seq, 1).encode()
            (Path(folder) / segment_name("w", number)).write_bytes(header + b"".join(lines))
            expected += lines
            seq += len(lines)
        got: list[Message] = []
        at = Position(0, 0, 0)
        for pause in [*stops, 10_000]:
            tail = Tail(folder, "w", list(range(len(segments))), at, Limits(message=limit))
            for _ in range(pause):
                messages = tail.read(budget)
                if not messages:
                    break
                got += messages
                at = messages[-1].end
        lines_out = [line for message in got for line in message.value.splitlines(keepends=True)[1:]]
        assert b"".join(lines_out) == b"".join(expected)
        assert [message.first for message in got] == [end.end.seq - end.count for end in got]
        assert sum(message.count for message in got) == len(expected)


@given(
    acks=st.lists(st.tuples(st.integers(0, 2), st.integers(1, 3)), min_size=1, max_size=300),
    committed=st.dictionaries(st.tuples(st.just("t"), st.integers(0, 2)), st.integers(-1, 400), max_size=3),
    asked_at=st.integers(0, 300),
)
def test_what_is_confirmed_was_stored_however_checkpoints_are_thinned(
    acks: list[tuple[int, int]], committed: dict[Place, int], asked_at: int
) -> None:
    progress = Progress(Position(0, 0, 0), Position(0, 0, 0))
    offsets = {0: 0, 1: 0, 2: 0}
    sent = []
    for number, (partition, lines) in enumerate(acks, 1):
        end = Position(0, progress.acked.offset + 10 * lines, progress.acked.seq + lines)
        checkpoint = Checkpoint(("t", partition), offsets[partition], end, number)
        offsets[partition] += 1
        progress.acknowledge(checkpoint)
        sent.append(checkpoint)
    progress.confirm(committed, asked_at)
    for point in sent:
        if point.end <= progress.confirmed:
            assert committed.get(point.place, -1) > point.offset and point.number <= asked_at
    all_stored = all(committed.get(point.place, -1) > point.offset for point in sent) and asked_at >= len(sent)
    assert (progress.confirmed == sent[-1].end) >= all_stored
