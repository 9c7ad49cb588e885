"""`runtide import`: the history of other trackers becomes runs, each point once, however often it is imported.

A source (one module each) lists `SourceRun`s. `bringing` reads those that are new or have changed, `writing` turns them
into journals, `book` keeps what is imported already, and `runtide.sync` delivers. docs/import.md says what comes along.
"""

from __future__ import annotations

from runtide.importing.bringing import Outcome, Report, bring
from runtide.importing.model import Facts, ImportFailed, Row, SourceRun, Unreadable

__all__ = ["Facts", "ImportFailed", "Outcome", "Report", "Row", "SourceRun", "Unreadable", "bring"]
