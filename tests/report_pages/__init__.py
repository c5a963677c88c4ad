"""HTML reports: one file each, which holds all that it shows and runs no script."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from jinja2 import Environment, PackageLoader, StrictUndefined

from tests.local_world.aws_emulator import ROOT

if TYPE_CHECKING:
    from pathlib import Path

#: Git ignores it.
FOLDER = ROOT / ".local/reports"
_TEMPLATES = Environment(
    loader=PackageLoader(__name__, "."),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def rendered(template: str, **values: object) -> str:
    """Return a page; every value is shown as text, whatever it contains.

    Args:
        template: The name of a template in this folder, without its ending.
        values: What the template shows; one that is missing is an error.
    """
    return _TEMPLATES.get_template(f"{template}.html").render(values)


def written(name: str, page: str, folder: Path = FOLDER) -> Path:
    """Write a page as a whole, so an open browser or a concurrent run never sees half of it.

    Args:
        name: The name of the file, without its ending.
        page: Its content.
        folder: Where to write it; it is created.

    Returns:
        The path of the file.

    Raises:
        OSError: The file cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path, unfinished = folder / f"{name}.html", folder / f"{name}-{os.getpid()}"
    try:
        unfinished.write_text(page, encoding="utf-8")
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
    return path
