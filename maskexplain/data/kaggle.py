"""The public Kaggle set, known by its pixels: which face each picture shows, and which are copies.

The set (vijaykumar1799/face-mask-detection) comes without a list. Its class of badly worn masks is
66 faces and 2,943 darkened, turned and smeared copies of 51 of these. kaggle_faces.csv has a row a
group: its split, where the photo is from, and the digests of its pictures and made copies.
"""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from .names import DataError, read_rows

FACES = Path(__file__).with_name("kaggle_faces.csv")
DIGITS = 10  # of a digest; no two of the set's 8,982 pictures share them


@dataclass(frozen=True)
class KnownFace:
    """What is known of one picture; `augmented` marks a made copy."""

    group: str
    split: str
    source: str
    augmented: bool


@lru_cache(maxsize=1)
def _known() -> dict[str, KnownFace]:
    columns = ("group", "split", "source", "pictures", "copies")
    rows = read_rows(FACES, columns, "install the program anew", "group", DataError)
    return {
        digest: KnownFace(row["group"], row["split"], row["source"], column == "copies")
        for row in rows
        for column in ("pictures", "copies")
        for digest in row[column].split()
    }


def known_face(digest: str) -> KnownFace | None:
    """What is known of a picture with this digest of its pixels (see `digest_of`)."""
    return _known().get(digest[:DIGITS])
