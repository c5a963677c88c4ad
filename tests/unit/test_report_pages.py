"""A report is one file that shows every value as text and loads nothing."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from jinja2 import UndefinedError

from tests.report_pages import rendered, written

if TYPE_CHECKING:
    from pathlib import Path

AT = datetime(2026, 11, 26, 9, 30, tzinfo=UTC)


def test_page_escapes_its_values() -> None:
    page = rendered("base", title="<script>alert(1)</script>", at=AT)

    assert "<script" not in page
    assert page.count("&lt;script&gt;alert(1)&lt;/script&gt;") == 2


def test_missing_value_is_error() -> None:
    with pytest.raises(UndefinedError, match="'title' is undefined"):
        rendered("base", at=AT)


def test_page_names_its_language_and_time() -> None:
    page = rendered("base", title="Chaos", at=AT)

    assert '<html lang="en">' in page
    assert "Written on 2026-11-26 at 09:30:00 UTC." in page


def test_page_replaces_last_one(tmp_path: Path) -> None:
    """The folder is created, and holds nothing but the page."""
    folder = tmp_path / "reports"

    written("chaos", "old", folder)
    path = written("chaos", "new ☃", folder)

    assert path.read_text(encoding="utf-8") == "new ☃"
    assert list(folder.iterdir()) == [path]


def test_page_that_cannot_be_written_leaves_last_one(tmp_path: Path) -> None:
    path = written("chaos", "old", tmp_path)

    with pytest.raises(UnicodeEncodeError):
        written("chaos", "half\ud800", tmp_path)

    assert path.read_text(encoding="utf-8") == "old"
    assert list(tmp_path.iterdir()) == [path]
