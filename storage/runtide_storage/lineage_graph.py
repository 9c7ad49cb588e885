"""How data, runs and models of a project lead to each other: from any of them both ways.

Worked out from what runs said, as `lineage` is; the newest `MENTIONS_MAX` of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from runtide_storage.errors import Ambiguous, NotFound
from runtide_storage.lineage import LATEST, Makers, Said, identity, things
from runtide_storage.reader import Reader
from runtide_storage.statements import statements

MENTIONS_MAX = 100_000

Kind = Literal["run", "dataset", "artifact"]


@dataclass(slots=True)
class Node:
    """`key` names it within its graph. Of a run, `name` is `project/run_id`."""

    key: str
    kind: Kind
    name: str
    version: str = ""
    digest: str = ""
    type: str = ""
    aliases: tuple[str, ...] = ()
    sources: list[str] = field(default_factory=list)  # keys: what a run used, who made an artifact
    targets: list[str] = field(default_factory=list)  # keys: what a run made, who used a dataset or artifact


class Graph:
    """Nodes by key, in the order in which they were first spoken of."""

    def __init__(self, project: str) -> None:
        self.project = project
        self.nodes: dict[str, Node] = {}

    def find(self, ref: str) -> Node:
        """A dataset or artifact, the newest that fits `[project/]name[:alias|version|digest]` or a digest; or a run.

        Raises `NotFound`, and `Ambiguous` if a name is that of a dataset and of an artifact with other content.
        """
        wanted = ref.removeprefix(f"{self.project}/")
        run = self.nodes.get(f"run {self.project}/{wanted}")
        fitting = [node for node in self.nodes.values() if node.kind != "run" and _is_called(node, wanted)]
        if not fitting and run is None:
            known = f"what runs of {self.project} said of datasets and artifacts"
            raise NotFound(f"{ref!r} is in nothing of {known} (`runtide dataset ls`, `runtide artifact ls`)")
        if not fitting and run is not None:
            return run
        newest = {node.kind: node for node in fitting}
        if len(newest) > 1 and len({node.digest for node in newest.values()}) > 1:
            names = [f"{node.name}:{node.version or node.digest}" for node in newest.values()]
            raise Ambiguous(f"{ref!r} is a dataset and an artifact: say which by {' or '.join(names)}", names)
        return newest.get("artifact") or fitting[-1]

    def around(self, node: Node, depth_max: int) -> list[Node]:
        """The node, and all that it comes from and all that comes from it, up to so many steps away."""
        found = {node.key}
        for way in ("sources", "targets"):
            edge, seen = [node.key], {node.key}
            for _ in range(depth_max):
                edge = [key for at in edge for key in getattr(self.nodes[at], way) if key not in seen]
                seen.update(edge)
            found |= seen
        return [each for each in self.nodes.values() if each.key in found]


def graph(reader: Reader, project: str) -> Graph:
    """That of a project. Empty if its runs said nothing of data."""
    rows = reader.rows(statements("lineage.sql")["of_project"], {"project": project, "limit": MENTIONS_MAX})
    return build(project, things(rows))


def build(project: str, said: Iterable[Said]) -> Graph:
    """The graph of what was said, the oldest first."""
    mentions = list(said)
    made = Graph(project)
    makers = Makers(each for each in mentions if each.role == "output")
    known: dict[object, str] = {}  # identity -> key
    for each in mentions:
        run = f"run {project}/{each.run_id}"
        made.nodes.setdefault(run, Node(run, "run", f"{project}/{each.run_id}"))
        maker = makers.of(each)
        source = maker or each
        # The same content that two runs made is one thing.
        same = source.text("digest") if source.role == "output" and source.text("digest") else identity(each, makers)
        key = known.setdefault(same, f"{'dataset' if source.role == 'dataset' else 'artifact'} {len(known)}")
        node = made.nodes.get(key)
        if node is None:
            node = made.nodes[key] = _node(key, source)
        node.aliases = tuple(dict.fromkeys((*node.aliases, *source.aliases)))
        node.version = node.version or source.text("version")
        ways = (
            (node.sources, made.nodes[run].targets)
            if each.role == "output"
            else (node.targets, made.nodes[run].sources)
        )
        for way, other in zip(ways, (run, key), strict=True):
            if other not in way:
                way.append(other)
    return made


def as_dicts(nodes: Iterable[Node]) -> dict[str, list[dict[str, object]]]:
    """Nodes, and edges between them in the direction of the data."""
    found = list(nodes)
    keys = {node.key for node in found}
    edges: list[dict[str, object]] = [
        {"from": node.key, "to": target} for node in found for target in node.targets if target in keys
    ]  # fmt: skip
    return {"nodes": [_as_dict(node) for node in found], "edges": edges}


def _as_dict(node: Node) -> dict[str, object]:
    facts: Mapping[str, object] = {"version": node.version, "digest": node.digest, "type": node.type}
    more = {} if node.kind == "run" else {**facts, "aliases": list(node.aliases)}
    return {"key": node.key, "kind": node.kind, "name": node.name, **more}


def _node(key: str, said: Said) -> Node:
    kind: Kind = "dataset" if said.role == "dataset" else "artifact"
    # The reference that somebody used names what nobody here made.
    name = said.text("name") or said.name.partition(":")[0] if said.role == "input" else said.name
    version = said.text("version") or (said.name.partition(":")[2] if said.role == "input" else "")
    return Node(key, kind, name, version, said.text("digest"), said.text("type"), said.aliases)


def _is_called(node: Node, wanted: str) -> bool:
    if wanted in (node.name, node.digest) and wanted:
        return True
    name, colon, which = wanted.partition(":")
    if not colon or name != node.name:
        return False
    digest = node.digest.partition(":")[2]
    short = which.partition(":")[2] or which
    return which in (LATEST, node.version, *node.aliases) or (len(short) >= 8 and digest.startswith(short))
