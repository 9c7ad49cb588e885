"""Reading and choosing rows of the pages' tables, which are drawn on a canvas."""

from __future__ import annotations

from playwright.sync_api import Page

ROW_PX, HEADER_PX, TICK_PX = 36, 32, 16


def cell(page: Page, column: int, row: int) -> str:
    """Text of a cell, from 0, as assistive technology reads it; column 0 is that of the ticks."""
    found = page.locator(f"[data-testid=glide-cell-{column}-{row}]").first
    found.wait_for(state="attached")
    return found.text_content() or ""


def tick(page: Page, row: int, of: int | None = None) -> None:
    """Choose a row of the first table, from 1; with `of`, once the table has that many rows."""
    page.locator(f"[data-testid=glide-cell-1-{row - 1}]").first.wait_for(state="attached")
    if of is not None:
        page.locator(f"[data-testid=glide-cell-1-{of - 1}]").first.wait_for(state="attached")
        page.locator(f"[data-testid=glide-cell-1-{of}]").first.wait_for(state="detached")
    # A locator waits until the table stands still and is looked up anew if it was drawn anew meanwhile.
    place = {"x": TICK_PX, "y": HEADER_PX + ROW_PX * row - ROW_PX / 2}
    page.locator("[data-testid=stDataFrame]").first.click(position=place)  # type: ignore[arg-type]
