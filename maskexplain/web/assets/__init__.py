"""The page's fixed texts, styles and scripts."""

from pathlib import Path

FOLDER = Path(__file__).parent
STYLES = sorted(FOLDER.glob("*.css"))


def asset(name: str) -> str:
    """A file's text."""
    return (FOLDER / name).read_text(encoding="utf-8")


def scripts() -> str:
    """Every script, for the page's head; none asks another server for anything."""
    files = sorted(path.name for path in FOLDER.glob("*.js"))
    return "".join(f"<script>\n{asset(name)}</script>\n" for name in files)
