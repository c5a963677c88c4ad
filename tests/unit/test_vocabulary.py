"""One word stands for one thing, and the words that were replaced do not come back."""

from __future__ import annotations

import functools
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
#: Patterns of retired words, each with its successor.
RETIRED = {
    # Terms that differed from those of AWS, of messaging and of fault injection.
    r"(?<![Dd]ead[-_ ])\b[Ll]etters?\b|(?<!dead)(?<!ascii)_letters?\b": "record",
    r"\b[Dd]ead letters?\b|\bdead_letters\b|\bmake dead-letters\b": "dead-lettered record",
    r"\b[Uu]ntold\b|\btold_of\b|\b_TOLD\b": "unpublished, outcome_of",
    r"\b[Qq]uestions?\b(?! mark)|QUESTION|_questions?\b": "log query; query of find_messages",
    r"\b[Pp]auses?\b|_pauses?\b|PAUSE": "backoff, wait",
    r"[Uu]nrecorded[A-Z_]|unrecorded (page|report)s": "ParkedReports, parked_reports",
    r"OutcomesNotTold": "OutcomeEventsDeadLetter",
    r"OutcomesLate": "OutcomeEventsLag",
    r"\b[Ss]tandings?\b": "ClaimStatus, claim_status",
    r"\bParcel[(\]:]": "ClaimedMessage",
    r"\bPosted\b": "AnsweredMessage",
    r"\bposts_of\b": "requests_of",
    r"\b(List|Redrive|Release|Close)Order\b": "ListCommand and so on",
    r"\blets_through\b": "allow_request",
    r"\blet_go\b|\bpostpone\(": "release_visibility, change_visibility",
    r"\bTAKEN\b": "ACCEPTED_OR_FINAL",
    r"\bVERDICTS\b": "RESOLVED",
    r"\b(to_text|from_text)\b": "format_utc, parse_utc",
    r"\bomni\.moments\b": "timestamps",
    r"\b[Ll]ost lease|lease (is|was) lost|lease out\b|\bLEASE_LOST\b": "expired lease",
    r"[Nn]ursery|\b[Ss]torms?\b|\b[Ss]tr(ikes?|uck)\b": "worker pool, fault, fire",
    r"\b[Ss]trangers?\b": "another account, an unsigned caller",
    # Habits of translated English.
    r"\b[Nn]obody\b|_nobody\b": "no caller, no consumer",
    r"\b[Ss]omebody\b|_somebody\b": "another account, someone",
    r"\b[Ww]hoever\b": "the caller, the reader",
    r"\bstands? (in|under)\b": "is stored in, is listed in, is defined in",
    r"\bset(s|ting)? aside\b": "dead-lettered, quarantined",
    r"\b(come|comes|came) round\b|round again\b": "is redelivered",
    r"\btold\b|_told\b": "notified, answered, published",
    r"\bat once\b|_at_once\b": "immediately, concurrently",
    r"\bfor ever\b|_for_ever\b": "forever",
    r"\bby (itself|themselves)\b|_by_itself\b": "individually, automatically, alone",
    r'"""(Tell|Let|Hold) ': "Return …, or a sentence with a subject",
    r"def test_(an?|the)_": "the name of a test without an article",
}
#: Phrases in which a retired word means something else.
EXCEPTIONS = {
    "a letter from a to z": "of the alphabet",
    "lower-case letters": "of the alphabet",
    "starting with a letter": "of the alphabet",
    "letters and digits": "of the alphabet",
    "very row in question": "an idiom",
}
FOLDERS = ("functions", "shared", "tests", "events", ".github", ".ci")
FILES = ("template.yaml", "Makefile", "README.md", "pyproject.toml", "samconfig.toml")
SUFFIXES = {".py", ".json", ".md", ".yml", ".yaml", ".toml", ""}


def sources() -> list[Path]:
    """List the files that people read, without this one and the history in CHANGELOG.md."""
    found = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*")]
    found += [ROOT / name for name in FILES]
    return [
        path
        for path in found
        if path.is_file()
        and path.suffix in SUFFIXES
        and path != Path(__file__)
        and "__pycache__" not in path.parts
    ]


SOURCES = sources()
LINE_BREAK = "\n"


@functools.cache
def texts() -> dict[Path, str]:
    """Read every source once, without the exceptions; a search in whole texts is the fastest."""
    found = {}
    for path in SOURCES:
        text = path.read_text(encoding="utf-8")
        for phrase in EXCEPTIONS:
            text = text.replace(phrase, "-")
        found[path.relative_to(ROOT)] = text
    return found


@pytest.mark.parametrize(("retired", "instead"), RETIRED.items())
def test_retired_words_are_gone(retired: str, instead: str) -> None:
    # Nearly every text can be ruled out without word boundaries, which make a search slow.
    loosely = retired.replace(r"\b", "")
    places = [
        f"{path}:{text.count(LINE_BREAK, 0, match.start()) + 1}"
        for path, text in texts().items()
        if re.search(loosely, text)
        for match in re.finditer(retired, text)
    ]

    assert places == [], f"write {instead}"


@pytest.mark.parametrize("phrase", EXCEPTIONS)
def test_exceptions_are_still_there(phrase: str) -> None:
    assert any(phrase in path.read_text(encoding="utf-8") for path in SOURCES)


def test_there_are_sources() -> None:
    """A search in nothing would find nothing."""
    assert len(SOURCES) > 200
