"""The rows of a CSV file whose columns are known."""

import csv
from collections.abc import Sequence
from pathlib import Path

from ..errors import UserError


def read_rows(
    file: Path, columns: Sequence[str], remedy: str, unit: str, error: type[UserError]
) -> list[dict[str, str]]:
    """The rows of a CSV, a dict each. Raises `error` where it has none, or lacks a column.

    `remedy` and `unit` (what a row stands for) complete its sentence.
    """
    try:
        # utf-8-sig: spreadsheet programs put a mark before the first column's name.
        with open(file, newline="", encoding="utf-8-sig") as handle:
            rows = list(csv.DictReader(handle))
    except (OSError, UnicodeDecodeError, csv.Error) as cause:
        raise error(f"{file} cannot be read as a CSV: {remedy}.") from cause
    if not rows or not set(columns) <= set(rows[0]):
        raise error(f"{file} needs the columns {', '.join(columns)} and a row a {unit}.")
    return rows
