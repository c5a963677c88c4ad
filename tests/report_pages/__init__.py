"""HTML reports: one file each, which holds all that it shows and runs no script."""

from __future__ import annotations

import tempfile
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from tests.local_world.aws_emulator import ROOT

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
    path = folder / f"{name}.html"
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", dir=folder, delete=False) as file:
        unfinished = Path(file.name)
        try:
            file.write(page)
            file.close()
            unfinished.replace(path)
        except BaseException:
            unfinished.unlink(missing_ok=True)
            raise
    return path
