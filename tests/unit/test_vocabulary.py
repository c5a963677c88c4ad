"""One word stands for one thing: words that were replaced do not come back."""

from __future__ import annotations

import functools
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
#: Patterns of retired words, with what is written instead.
RETIRED = {
    r"[Uu]nrecorded(?!.*\bstate)": "ParkedReports, parked_reports",
    r"OutcomesNotTold": "OutcomeEventsDeadLetter",
    r"OutcomesLate": "OutcomeEventsLag",
    r"\b[Ss]tandings?\b": "ClaimStatus, claim_status",
    r"\bParcel[(\]:]": "ClaimedMessage",
    r"\bPosted\b": "AnsweredMessage",
    r"\bposts_of\b": "requests_of",
    r"\b(List|Redrive|Release|Close)Order\b": "ListCommand and so on",
    r"\blets_through\b": "allow_request",
    r"\blet_go\b": "release_visibility",
    r"\bTAKEN\b": "ACCEPTED_OR_FINAL",
    r"\bQUESTIONS_PER_RUN\b|\ballows_question\b": "LOG_QUERIES_PER_RUN, allows_log_query",
    r"\b(to_text|from_text)\b": "format_utc, parse_utc",
    r"\bomni\.moments\b": "timestamps",
    r"def test_(an?|the)_": "the name of a test without an article",
}
FOLDERS = ("functions", "shared", "tests", "events", ".github")
FILES = ("template.yaml", "Makefile", "README.md", "pyproject.toml")
SUFFIXES = {".py", ".json", ".md", ".yml", ".yaml", ".toml", ""}


def sources() -> list[Path]:
    """List what people read, but for this file and the history in CHANGELOG.md."""
    found = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*")]
    found += [ROOT / name for name in FILES]
    return [
        path
        for path in found
        if path.is_file() and path.suffix in SUFFIXES and path != Path(__file__)
    ]


SOURCES = sources()
LINE_BREAK = "\n"


@functools.cache
def texts() -> dict[Path, str]:
    """Read every source once; a search in whole texts is faster than one in each of their lines."""
    return {path.relative_to(ROOT): path.read_text(encoding="utf-8") for path in SOURCES}


@pytest.mark.parametrize(("retired", "instead"), RETIRED.items())
def test_retired_words_are_gone(retired: str, instead: str) -> None:
    """Each has a successor, which is the field's term."""
    pattern = re.compile(retired, re.MULTILINE)
    places = [
        f"{path}:{text.count(LINE_BREAK, 0, match.start()) + 1}"
        for path, text in texts().items()
        for match in pattern.finditer(text)
    ]

    assert places == [], f"write {instead}"


def test_there_are_sources() -> None:
    """A search in nothing would find nothing."""
    assert len(SOURCES) > 200
