"""The page's texts, templates, styles and scripts."""

from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

FOLDER = Path(__file__).parent
IN_HEAD = "container.css"
STYLES = sorted(path for path in FOLDER.glob("*.css") if path.name != IN_HEAD)


# Whatever a template is given is escaped, unless it is Markup: made here, by another template.
TEMPLATES = Environment(
    loader=FileSystemLoader(FOLDER),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def render(template: str, /, **values: Any) -> Markup:
    """A template (a file NAME.jinja of this folder) filled in; safe HTML."""
    return Markup(TEMPLATES.get_template(f"{template}.jinja").render(**values))


def macros(template: str) -> Any:
    """The macros of a template (NAME.jinja of this folder), as functions that give safe HTML."""
    return TEMPLATES.get_template(f"{template}.jinja").module


def asset(name: str) -> str:
    """A file's text."""
    return (FOLDER / name).read_text(encoding="utf-8")


def head() -> str:
    """Every script and the head's own style, for the page's head; none asks another server."""
    files = sorted(path.name for path in FOLDER.glob("*.js"))
    scripts = "".join(f"<script>\n{asset(name)}</script>\n" for name in files)
    return f"{scripts}<style>\n{asset(IN_HEAD)}</style>\n"
