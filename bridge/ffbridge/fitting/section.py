"""Sections of a TOML document, read key by key: what is missing, of another type or unknown is refused by name."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping
from typing import Any

from ffbridge.errors import FitError

__all__ = ["Section"]

_MISSING = object()


class Section:
    """A table of a TOML document, which knows where it stands. Every key must be asked for before :meth:`done`.

    Args:
        content: the table.
        where: the file and the section, for messages.
    """

    def __init__(self, content: Mapping[str, Any], where: str) -> None:
        self._content = content
        self._where = where
        self._known: list[str] = []

    def __contains__(self, key: str) -> bool:
        """Return whether the section has a key."""
        return key in self._content

    def text(self, key: str, default: Any = _MISSING, *, among: Collection[str] = ()) -> Any:
        """Return a string, one of some if these are given."""
        expected = f"one of {', '.join(among)}" if among else "a text"
        value = self._get(key, default, expected)
        if value is default:
            return value
        if not isinstance(value, str) or not value or (among and value not in among):
            raise self.wrong(key, value, expected)
        return value

    def number(self, key: str, default: Any = _MISSING, *, above: float | None = None, least: float = 0.0) -> Any:
        """Return a number: more than `above` if that is given, else at least `least`."""
        expected = f"a number more than {above:g}" if above is not None else f"a number, {least:g} or more"
        value = self._get(key, default, expected)
        if value is default:
            return value
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self.wrong(key, value, expected)
        # Written so that NaN is refused too.
        if not ((value > above) if above is not None else (value >= least)) or value == float("inf"):
            raise self.wrong(key, value, expected)
        return float(value)

    def integer(self, key: str, default: Any = _MISSING, *, least: int = 0) -> Any:
        """Return a whole number, at least `least`."""
        expected = f"a whole number, {least} or more"
        value = self._get(key, default, expected)
        if value is default:
            return value
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise self.wrong(key, value, expected)
        return value

    def flag(self, key: str, default: bool) -> bool:
        """Return true or false."""
        value = self._get(key, default, "true or false")
        if not isinstance(value, bool):
            raise self.wrong(key, value, "true or false")
        return value

    def texts(self, key: str, default: Any = _MISSING) -> Any:
        """Return a tuple of strings, at least one."""
        expected = "a list of texts, at least one"
        value = self._get(key, default, expected)
        if value is default:
            return value
        if not isinstance(value, list) or not value or not all(isinstance(each, str) and each for each in value):
            raise self.wrong(key, value, expected)
        return tuple(value)

    def section(self, key: str, *, required: bool = False) -> Section:
        """Return a table within this one; an empty one if it is not there and need not be."""
        value = self._get(key, _MISSING if required else {}, "a section")
        if not isinstance(value, dict):
            raise self.wrong(key, value, "a section")
        return Section(value, self._path(key))

    def sections(self, key: str) -> tuple[Section, ...]:
        """Return the tables of an array of tables; none if it is not there."""
        value = self._get(key, [], "an array of sections")
        if not isinstance(value, list) or not all(isinstance(each, dict) for each in value):
            raise self.wrong(key, value, f"an array of sections, written [[{key}]]")
        return tuple(Section(each, f"{self._path(key)}[{number}]") for number, each in enumerate(value))

    def items(self) -> dict[str, Any]:
        """Return everything, as it is."""
        self._known += self._content
        return dict(self._content)

    def keys(self) -> tuple[str, ...]:
        """Return the keys that are there."""
        return tuple(self._content)

    def done(self) -> None:
        """Raise FitError if there is a key that nobody asked for."""
        for key in self._content:
            if key not in self._known:
                close = difflib.get_close_matches(key, self._known, n=1)
                meant = f"; {close[0]!r} may be meant" if close else ""
                raise FitError(
                    f"{self._path(key)}: there is no such key{meant}. Known here are: {', '.join(sorted(self._known))}"
                )

    def wrong(self, key: str, value: object, expected: str) -> FitError:
        """Return the error of a value that is not what was expected."""
        return FitError(f"{self._path(key) if key else self._where}: got {value!r}, expected {expected}")

    def _get(self, key: str, default: Any, expected: str) -> Any:
        self._known.append(key)
        if key in self._content:
            return self._content[key]
        if default is _MISSING:
            close = difflib.get_close_matches(key, map(str.lower, self._content), n=1, cutoff=0.8)
            there = [each for each in self._content if each.lower() in close]
            meant = f"; there is {there[0]!r}" if there else ""
            raise FitError(f"{self._path(key)}: missing, expected {expected}{meant}")
        return default

    def _path(self, key: str) -> str:
        return f"{self._where}{'' if self._where.endswith(': ') else '.'}{key}"
