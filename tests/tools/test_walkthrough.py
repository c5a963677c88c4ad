"""The commands in README.md print what it shows."""

from __future__ import annotations

from tests.readme import alone_with_its_worlds, run, running, typed

LOCAL, *COMMANDS = typed("Try it by hand")


def test_every_command_of_the_chapter_is_found() -> None:
    text = "\n".join(each.command for each in COMMANDS)

    assert len(COMMANDS) >= 15
    for name in (
        "invoke",
        "send",
        "find",
        "dead-letter-queue",
        "redrive",
        "outcome-events",
        "simulator",
    ):
        assert f"make {name} " in text


def test_each_command_prints_what_readme_shows() -> None:
    """Commands run exactly as written, one after the other without a wait."""
    with alone_with_its_worlds(), running(LOCAL) as said:
        assert LOCAL.matches(said)
        for each in COMMANDS:
            done = run(each.command)

            assert done.returncode == 0, f"{each.command}\n{done.stdout}"
            assert each.matches(done.stdout), f"{each.command}\n{done.stdout}"
