"""CSV files as spreadsheet programs write them, row by row."""

import codecs
import csv
import io
from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path

from ..errors import UserError


class Row(dict[str, str]):
    """A row of a CSV by its columns' names, and the line that it ends in."""

    line = 0


def read_rows(
    file: Path, columns: Sequence[str], remedy: str, unit: str, error: type[UserError]
) -> list[Row]:
    """The rows of a CSV. Raises `error` where it has none, or lacks a column.

    As spreadsheet programs write them: cells parted by commas, semicolons or tabs, in UTF-8 or
    UTF-16, headings in any case, blanks around cells. `remedy` and `unit` (what a row stands for)
    complete the sentence.
    """
    try:
        text = _decoded(file.read_bytes())
        heading = text.partition("\n")[0]
        parted = max(",;\t", key=heading.count)
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=parted, strict=True)
        names = [name.strip().lower() for name in next(reader, [])]
        rows = []
        for cells in reader:
            if any(cells):
                row = Row(
                    zip_longest(names, (c.strip() for c in cells[: len(names)]), fillvalue="")
                )
                row.line = reader.line_num
                rows.append(row)
    except (OSError, UnicodeDecodeError, csv.Error) as cause:
        raise error(f"{file} cannot be read as a CSV: {remedy}.") from cause
    if not rows or not set(columns) <= set(names):
        raise error(f"{file} needs the columns {', '.join(columns)} and a row a {unit}.")
    return rows


def _decoded(content: bytes) -> str:
    utf_16 = content[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
    if utf_16:
        return content.decode("utf-16")
    # utf-8-sig: spreadsheet programs put a mark before the first column's name. A file's name may
    # be any bytes, which stay as they are.
    return content.decode("utf-8-sig", "surrogateescape")
