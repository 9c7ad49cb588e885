"""`runtide artifact lineage` and `runtide dataset ls`: what storage knows from what runs said."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import runtide.settings
from runtide_storage.connect import connect
from runtide_storage.errors import NotFound
from runtide_storage.lineage_graph import Graph, Node, as_dicts, graph
from runtide_storage.reader import Reader
from runtide_storage.registry import Dataset
from runtide_storage.registry import datasets as used_datasets
from runtide_storage.runs import resolve
from runtide_storage.settings import clickhouse_url
from runtide_workers.cli import output
from runtide_workers.cli.artifacts import size

LINES_MAX = 1_000  # of a tree: a dataset may have been used by every run there is


def lineage(ref: str, depth: int, project: str | None, as_json: bool) -> int:
    """A tree each way."""
    reader = Reader(connect(clickhouse_url("reader")))
    try:
        found, node = _find(reader, ref, project)
    finally:
        reader.close()
    if as_json:
        around = as_dicts(found.around(node, depth))
        print(output.as_json({"project": found.project, "of": node.key, **around}))
        return 0
    print(_shown(node))
    for way, title in (("sources", "comes from"), ("targets", "led to")):
        lines = list(_tree(found, node, way, depth, {node.key}))
        output.heading(f"{title}{'' if lines else ' nothing that is known'}")
        for line in lines[:LINES_MAX]:
            print(line)
        if len(lines) > LINES_MAX:
            print(f"  … {len(lines) - LINES_MAX} more: --json has all")
    return 0


def datasets(name: str | None, project: str | None, as_json: bool) -> int:
    """What runs read."""
    reader = Reader(connect(clickhouse_url("reader")))
    try:
        found = used_datasets(reader, project, name)
    finally:
        reader.close()
    if as_json:
        print(output.as_json({"datasets": [_as_dict(each) for each in found]}))
    elif not found:
        print("no run said what data it used: `run.use_dataset(NAME, PATH)`", file=sys.stderr)
    else:
        rows = [
            (f"{each.project}/{each.name}", each.version, each.digest[:20],
             None if each.size is None else size(each.size), len(each.runs), each.runs[-1], each.last_at, each.place)
            for each in found
        ]  # fmt: skip
        columns = ("name", "version", "digest", "size", "runs", "last run", "last used", "place")
        output.table(columns, rows, right=("size", "runs"))
    return 0


def _find(reader: Reader, ref: str, project: str | None) -> tuple[Graph, Node]:
    """In the project that is said, else the one that the reference begins with, else RUNTIDE_PROJECT."""
    before, slash, _ = ref.partition(":")[0].partition("/")
    of_project = project or (before if slash else runtide.settings.load().project)
    found = graph(reader, of_project)
    try:
        return found, found.find(ref)
    except NotFound as error:
        try:
            [run] = resolve(reader, [ref], project)  # a run's name, or its id in any project
        except NotFound:
            raise error from None
    found = graph(reader, run.project)
    node = found.nodes.get(f"run {run.ref}")
    if node is None:
        raise NotFound(f"{run.ref} said nothing of datasets or artifacts")
    return found, node


def _tree(found: Graph, node: Node, way: str, depth: int, seen: set[str]) -> Iterator[str]:
    """Lines, indented by how far it is. What was shown before is not followed again."""
    if depth <= 0:
        return
    for key in getattr(node, way):
        other = found.nodes[key]
        is_known = key in seen
        seen.add(key)
        yield f"  {_shown(other)}{' (above)' if is_known else ''}"
        if not is_known:
            yield from (f"  {line}" for line in _tree(found, other, way, depth - 1, seen))


def _shown(node: Node) -> str:
    if node.kind == "run":
        return f"run {output.clean(node.name)}"
    named = f":{node.version}" if node.version else f"@{node.digest[:20]}" if node.digest else ""
    aliases = f" ({', '.join(map(output.clean, node.aliases))})" if node.aliases else ""
    kind = node.kind if node.kind == "dataset" or not node.type else node.type
    return f"{output.clean(kind)} {output.clean(node.name)}{output.clean(named)}{aliases}"


def _as_dict(each: Dataset) -> dict[str, object]:
    facts = {"project": each.project, "name": each.name, "version": each.version, "digest": each.digest}
    more = {"bytes": each.size, "place": each.place, "first_at": each.first_at, "last_at": each.last_at}
    return {**facts, **more, "runs": each.runs}
