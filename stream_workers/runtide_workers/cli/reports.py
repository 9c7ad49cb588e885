"""A verdict for other programs: JUnit XML for CI, Markdown for a comment on a pull request. Names are hostile input."""

from __future__ import annotations

import re
import string
from collections.abc import Mapping
from typing import Any
from xml.etree import ElementTree as ET

from runtide_workers.cli import output
from runtide_workers.cli.comparing import Comparison
from runtide_workers.cli.verdicts import interval
from runtide_workers.detection.verdict import difference

WHOLE = "the whole run"
MEMBERS_SHOWN_MAX = 5
_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # XML 1.0, production [2] Char
_PLAIN = frozenset("-/,.:;%()+")  # mean nothing to Markdown inside a line, as they are used here
_LINK = re.compile(r"(?i)(?<=www)\.|:(?=//)")  # by these GitHub knows an address, and makes a link of it
_MENTION = re.compile(r"([@#])")


def junit(found: Comparison) -> str:
    """One test case per metric and one for the whole run; worse is a failure, no baseline is skipped.

    The format is the one that Jenkins, GitLab and GitHub's reporters read (github.com/testmoapp/junitxml).
    """
    rows = [*found.metrics, {**found.whole, "metric": ""}]
    counts = {
        "tests": str(len(rows)),
        "failures": str(sum(row["verdict"] == "worse" for row in rows)),
        "errors": "0",
        "skipped": str(sum(row["verdict"] == "no baseline" for row in rows)),
        "time": "0",
    }
    root = ET.Element("testsuites", {"name": "runtide gate", **counts})
    suite = ET.SubElement(root, "testsuite", {"name": _xml(found.ref), **counts})
    properties = ET.SubElement(suite, "properties")
    for name, value in (
        ("name", found.run["name"]),
        ("state", found.run["state"]),
        ("baseline", " ".join(found.members)),
    ):
        ET.SubElement(properties, "property", {"name": name, "value": _xml(value)})
    for row in rows:
        case = ET.SubElement(
            suite, "testcase", {"classname": _xml(found.ref), "name": _xml(row["metric"] or WHOLE), "time": "0"}
        )
        reason = _xml(row["reason"])
        if row["verdict"] == "worse":
            failure = ET.SubElement(case, "failure", {"message": reason, "type": "worse"})
            failure.text = f"{reason}\n{_xml(_facts(row))}"
        elif row["verdict"] == "no baseline":
            ET.SubElement(case, "skipped", {"message": reason})
        else:
            ET.SubElement(case, "system-out").text = f"{row['verdict']}: {reason}"
    ET.indent(root)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ET.tostring(root, encoding="unicode")}\n'


def markdown(found: Comparison) -> str:
    """A heading, the reason, and a table of metrics, in GitHub's Markdown. Nothing in a name can break out of it."""
    whole = found.whole
    title = f"### {code(found.ref)}: {whole['verdict']}"
    against = f"Compared with {len(found.members)} run{'s' if len(found.members) != 1 else ''}"
    if found.members:
        shown = [code(member) for member in found.members[-MEMBERS_SHOWN_MAX:]]
        more = len(found.members) - len(shown)
        against += f": {', '.join(shown)}" + (f" and {more} more" if more else "")
    lines = [title, "", text(f"{whole['reason']}."), ""]
    if found.metrics:
        lines += [
            "| metric | verdict | effect | 95 % interval | level | baseline | step |",
            "|---|---|---|---|--:|--:|--:|",
            *(_line(row) for row in found.metrics),
            "",
            "An effect above 0 is worse; the interval is that of the spread between whole runs.",
            "",
        ]
    return "\n".join([*lines, f"<sub>{against}. State: {found.run['state']}.</sub>", ""])


def code(name: object) -> str:
    """A name as inline code. An element and not backticks: in these a table can't hold a backslash before a pipe."""
    return f"<code>{_escape(output.clean(name))}</code>"


def text(prose: object) -> str:
    """A sentence that may quote names. Nobody is mentioned and no issue referenced by it."""
    return _escape(_MENTION.sub("\\1\u200b", output.clean(prose)))


def _line(row: Mapping[str, Any]) -> str:
    verdict = f"**{row['verdict']}**" if row["verdict"] == "worse" else row["verdict"]
    numbers = (output.cell(row[name]) for name in ("value", "baseline", "step"))
    effect = "-" if row["effect"] is None else difference(row["effect"])
    return f"| {code(row['metric'])} | {verdict} | {effect} | {interval(row) or '-'} | {' | '.join(numbers)} |"


def _escape(clean: str) -> str:
    return _LINK.sub(lambda found: f"&#{ord(found[0])};", clean.translate(_ENTITIES))


# Entities can't open or close anything in Markdown (CommonMark 0.31, section 2.5).
_ENTITIES = {ord(each): f"&#{ord(each)};" for each in string.punctuation if each not in _PLAIN}


def _facts(row: Mapping[str, Any]) -> str:
    names = ("goal", "value", "baseline", "effect", "low", "high", "step", "n")
    return "\n".join(f"{name}: {row[name]}" for name in names if row[name] is not None)


def _xml(value: object) -> str:
    return _NOT_XML.sub("\ufffd", str(value))
