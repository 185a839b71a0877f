"""Small words for sentences that name several things, and tables of them."""

from collections.abc import Iterable, Sequence

NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


def listed(items: Sequence[str]) -> str:
    """“v1”, “v1 and v2”, “v1, v2 and v3”."""
    return " and ".join(filter(None, (", ".join(items[:-1]), *items[-1:])))


def number(count: int) -> str:
    """A count in words, up to ten."""
    return NUMBERS[count] if count < len(NUMBERS) else str(count)


def counted(count: int, one: str, more: str) -> str:
    """“1 label is”, “2 labels are”."""
    return f"{count} {one if count == 1 else more}"


def printable(name: str) -> str:
    """A file's name as text: bytes that are none are escaped."""
    return name.encode("utf-8", "backslashreplace").decode()


def markdown_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown: the columns' titles, and the rows' cells."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
