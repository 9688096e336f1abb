"""How handles and lists show themselves in a notebook or at a prompt: plain text, or a plain table."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any, Protocol, SupportsIndex, TypeVar, overload

_UNITS = ("B", "KB", "MB", "GB", "TB", "PB")
_ROWS = 50  # that are shown


class Shown(Protocol):
    def _shown(self) -> Mapping[str, str]:
        """Heading: what stands under it."""
        ...


T_co = TypeVar("T_co", bound=Shown, covariant=True)


class Listing(tuple[T_co, ...]):
    """A tuple that shows itself as a table, with headings as text too where its things say `_headed`."""

    __slots__ = ()

    @overload
    def __getitem__(self, index: SupportsIndex, /) -> T_co: ...
    @overload
    def __getitem__(self, index: slice, /) -> "Listing[T_co]": ...
    def __getitem__(self, index: SupportsIndex | slice, /) -> "T_co | Listing[T_co]":
        if isinstance(index, slice):
            return Listing(super().__getitem__(index))
        return super().__getitem__(index)

    def __repr__(self) -> str:
        rows = [list(item._shown().values()) for item in self[:_ROWS]]
        if not rows:
            return "(nothing)"
        if getattr(self[0], "_headed", False):
            rows.insert(0, list(self[0]._shown()))
        widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
        lines = ["  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in rows]
        return "\n".join([*lines, *self._rest()])

    def _repr_html_(self) -> str:
        if not self:
            return "<p>(nothing)</p>"
        heads = "".join(f"<th>{escape(head)}</th>" for head in self[0]._shown())
        rows = "".join(
            "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in item._shown().values()) + "</tr>"
            for item in self[:_ROWS]
        )
        rest = "".join(f"<p>{escape(line)}</p>" for line in self._rest())
        return f"<table><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>{rest}"

    def _rest(self) -> list[str]:
        return [f"… {len(self) - _ROWS:,} more"] if len(self) > _ROWS else []


class Line:
    """Something that says what it is in a line, and shows what there is to see of it below."""

    __slots__ = ()

    def _line(self) -> str:
        raise NotImplementedError

    def _below(self) -> Sequence[Listing[Any]]:
        return ()

    def __repr__(self) -> str:
        return "\n".join([f"<{self._line()}>", *(repr(table) for table in self._below() if table)])

    def _repr_html_(self) -> str:
        tables = "".join(table._repr_html_() for table in self._below() if table)
        return f"<p>{escape(self._line())}</p>{tables}"


def html(facts: Mapping[str, str]) -> str:
    """One thing's facts as a table of two columns."""
    rows = "".join(f"<tr><th>{escape(k)}</th><td>{escape(v)}</td></tr>" for k, v in facts.items())
    return f"<table>{rows}</table>"


def plain(text: str) -> str:
    """A text from outside, in one line that any terminal can take."""
    return "".join(c if c.isprintable() else "\ufffd" for c in text)


def many(count: int, word: str) -> str:
    """`3 files`"""
    return f"{count:,} {word}{'' if count == 1 else 's'}"


def size(count: int) -> str:
    value, unit = float(count), 0
    while value >= 999.5 and unit < len(_UNITS) - 1:
        value, unit = value / 1000, unit + 1
    return f"{value:.{0 if unit == 0 or value >= 9.95 else 1}f} {_UNITS[unit]}"
