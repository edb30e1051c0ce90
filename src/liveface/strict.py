"""JSON from a stranger, taken apart field by field: exact types, bounded sizes, nothing unknown, nothing twice."""

from __future__ import annotations

import json
from difflib import get_close_matches
from typing import Any

from liveface.errors import AvatarError

MAX_BYTES = 256 << 10
MAX_TEXT = 2000


class Fields:
    """A table of a JSON file, taken apart field by field; what is left over at the end is refused."""

    def __init__(self, values: dict[str, Any], where: str) -> None:
        self._left, self._where = dict(values), where
        self._known: list[str] = []

    @staticmethod
    def parse(text: bytes, where: str) -> Fields:
        """The table in a JSON text; `where` it stands is for messages."""
        return Fields(_json(text, where), where)

    @property
    def names(self) -> list[str]:
        """Fields that were not taken yet."""
        return list(self._left)

    def wrong(self, name: str, value: Any, wanted: str) -> AvatarError:
        """The error for a value that cannot be used."""
        return AvatarError(f"{self._where} has {name} = {str(value)[:80]!r}; expected {wanted}: create it again.")

    def take(self, name: str, kind: type) -> Any:
        """A field of exactly one type."""
        self._known.append(name)
        if name not in self._left:
            raise AvatarError(f"{self._where} lacks {name!r}; expected a {kind.__name__} there: create it again.")
        value = self._left.pop(name)
        if type(value) is not kind:
            raise self.wrong(name, value, f"a {kind.__name__}")
        return value

    def table(self, name: str) -> Fields:
        """A table within."""
        return Fields(self.take(name, dict), f"{self._where}, {name}")

    def text(self, name: str, limit: int = MAX_TEXT) -> str:
        """A text that can be printed."""
        return self.printable(name, self.take(name, str), limit)

    def printable(self, name: str, text: str, limit: int) -> str:
        """A text without control characters, which a terminal might obey."""
        if len(text) > limit or not all(letter.isprintable() or letter == "\n" for letter in text):
            raise self.wrong(name, text[:60], f"at most {limit} characters that can be printed")
        return text

    def choice(self, name: str, allowed: tuple[str, ...]) -> str:
        """One of a few words."""
        value = self.text(name, 80)
        if value not in allowed:
            raise self.wrong(name, value, " or ".join(allowed))
        return value

    def numbers(self, name: str, count: int) -> list[float]:
        """A list of so many finite numbers, none beyond a million."""
        values = self.take(name, list)
        if len(values) != count or not all(type(one) in (int, float) and abs(one) < 1e6 for one in values):
            raise self.wrong(name, values, f"{count} numbers")
        return values

    def integers(self, name: str, count: int) -> list[int]:
        """A list of so many whole numbers."""
        values = self.numbers(name, count)
        if not all(type(one) is int for one in values):
            raise self.wrong(name, values, f"{count} whole numbers")
        return [int(one) for one in values]

    def number(self, name: str, low: float, high: float) -> float:
        """A number within a range."""
        self._known.append(name)
        value = self._left.pop(name, None)
        if type(value) not in (int, float) or not low <= value <= high:
            raise self.wrong(name, value, f"a number from {low:g} to {high:g}")
        return float(value)

    def end(self) -> None:
        """Refuse fields nobody asked for."""
        if self._left:
            name = sorted(self._left)[0]
            near = get_close_matches(name, self._known, 1) or self._known
            raise AvatarError(
                f"{self._where} has {name[:60]!r}, which this version does not know; expected {', '.join(near)}: "
                "install a newer liveface."
            )


def _json(text: bytes, where: str) -> dict[str, Any]:
    """Strict JSON: one table, no name twice, no number that is none."""

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        table = dict(pairs)
        if len(table) != len(pairs):
            raise ValueError("a name occurs twice")
        return table

    def refuse(constant: str) -> None:
        raise ValueError(f"{constant} is no number")

    try:
        if len(text) > MAX_BYTES:
            raise ValueError(f"{len(text)} bytes")
        content = json.loads(text.decode("utf-8"), object_pairs_hook=once, parse_constant=refuse)
        if not isinstance(content, dict):
            raise ValueError("it is no table")
    except (ValueError, RecursionError) as error:
        raise AvatarError(
            f"{where} is damaged ({error}); expected JSON as liveface writes it: copy the file again."
        ) from error
    return content
