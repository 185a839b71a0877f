"""Small words for sentences that name several things."""

from collections.abc import Sequence

from ..explaining.draw import CLASS_TITLES

NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


def listed(items: Sequence[str]) -> str:
    """“v1”, “v1 and v2”, “v1, v2 and v3”."""
    return " and ".join(filter(None, (", ".join(items[:-1]), *items[-1:])))


def number(count: int) -> str:
    """A count in words, up to ten."""
    return NUMBERS[count] if count < len(NUMBERS) else str(count)


def says(names: Sequence[str], labels: Sequence[str]) -> str:
    """Who says what, those who say the same together: “v1 and v2 say “No mask”, v3 says ...”."""
    groups: dict[str, list[str]] = {}
    for name, label in zip(names, labels, strict=True):
        groups.setdefault(label, []).append(name)
    return ", ".join(
        f"{listed(group)} {'say' if len(group) > 1 else 'says'} “{CLASS_TITLES[label]}”"
        for label, group in groups.items()
    )
