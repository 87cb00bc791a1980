"""Which sort every name of some formulas has, told by its use; and the formulas in SMT-LIB."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from rung.verify.formula import Term

NUMBERS = ("Int", "Real")
_LOGIC = ("and", "or", "not", "=>")
_SIZES = ("<", "<=", ">", ">=")
_SUMS = ("+", "-", "*", "abs")


class Signature(NamedTuple):
    """The sorts of a name's arguments (none for a constant) and of what it stands for."""

    args: tuple[str, ...]
    result: str


Names = Mapping[str, Signature]


@dataclass(slots=True)
class _Cell:
    """A sort that may not be known yet; cells that must be equal are joined."""

    sort: str | None = None
    joined: _Cell | None = None

    @property
    def root(self) -> _Cell:
        cell = self
        while cell.joined is not None:
            cell = cell.joined
        return cell


@dataclass(slots=True)
class _Use:
    args: list[_Cell]
    result: _Cell


@dataclass(slots=True)
class _Scope:
    uses: dict[str, _Use]
    bound: dict[int, list[_Cell]] = field(default_factory=dict[int, list[_Cell]])
    """The cells of a quantifier's variables, by the term's identity."""


def infer(terms: Sequence[Term], known: Names) -> tuple[list[str], dict[str, Signature]]:
    """Each formula as a term of SMT-LIB, and the signatures of all names, known and new.

    Raises:
        ValueError: A name is used as two sorts of thing, or a formula is none (``x + 1``).
    """
    scope = _Scope({name: _use_of(signature) for name, signature in known.items()})
    for term in terms:
        _expect(_cell(term, scope, {}), "Bool", term)
    names = {name: _signature(use) for name, use in scope.uses.items()}
    return [_write(term, scope) for term in terms], names


def _use_of(signature: Signature) -> _Use:
    return _Use([_Cell(sort) for sort in signature.args], _Cell(signature.result))


def _signature(use: _Use) -> Signature:
    return Signature(tuple(_final(cell) for cell in use.args), _final(use.result))


def _final(cell: _Cell) -> str:
    return cell.root.sort or "Thing"


def _cell(term: Term, scope: _Scope, local: Mapping[str, _Cell]) -> _Cell:
    """The sort of a term; on the way every name in it learns its own."""
    if term.is_name:
        return _name_cell(term, scope, local)
    if term.is_number:
        return _Cell("Real" if "." in term.head else "Int")
    if term.bound:
        cells = [_Cell(_sort_named(sort)) for _, sort in term.bound]
        scope.bound[id(term)] = cells
        inner = {**local, **{name: cell for (name, _), cell in zip(term.bound, cells, strict=True)}}
        _expect(_cell(term.args[0], scope, inner), "Bool", term.args[0])
        return _Cell("Bool")
    cells = [_cell(part, scope, local) for part in term.args]
    return _operator_cell(term, cells)


def _operator_cell(term: Term, cells: Sequence[_Cell]) -> _Cell:
    if term.head in ("=", "distinct"):
        _join(cells[0], cells[1], term)
        return _Cell("Bool")
    if term.head in _SUMS or term.head in _SIZES or term.head in ("/", "mod"):
        for cell, part in zip(cells, term.args, strict=True):
            _expect(cell, "Real", part)
        are_whole = all(cell.root.sort == "Int" for cell in cells)
        if term.head == "mod" and not are_whole:
            raise ValueError("mod is for integers; declare them in the premises, as n: int")
        if term.head in _SIZES:
            return _Cell("Bool")
        return _Cell("Int" if are_whole and term.head != "/" else "Real")
    for cell, part in zip(cells, term.args, strict=True):  # true and false have none
        _expect(cell, "Bool", part)
    return _Cell("Bool")


def _name_cell(term: Term, scope: _Scope, local: Mapping[str, _Cell]) -> _Cell:
    if term.head in local:
        if term.args:
            raise ValueError(f"{term.head} is a variable here and takes no arguments")
        return local[term.head]
    cells = [_cell(part, scope, local) for part in term.args]
    use = scope.uses.setdefault(term.head, _Use([_Cell() for _ in cells], _Cell()))
    if len(use.args) != len(cells):
        raise ValueError(f"{term.head} takes {len(use.args)} arguments, not {len(cells)}")
    for wanted, cell in zip(use.args, cells, strict=True):
        _join(wanted, cell, term)
    return use.result


def _expect(cell: _Cell, sort: str, term: Term) -> None:
    _join(cell, _Cell(sort), term)


def _join(left: _Cell, right: _Cell, term: Term) -> None:
    """Both are of one sort. Integers pass for reals, and what is told by use alone is real."""
    left, right = left.root, right.root
    if left is right:
        return
    if left.sort is None and right.sort is None:
        left.joined = right
    elif left.sort is None or right.sort is None:
        unknown, sort = (left, right.sort) if left.sort is None else (right, left.sort)
        unknown.sort = "Real" if sort in NUMBERS else sort
    elif left.sort != right.sort and not {left.sort, right.sort} <= set(NUMBERS):
        what = f"{term.head}(...)" if term.args else term.head
        raise ValueError(f"{what} puts together {_told(left)} and {_told(right)}")


def _told(cell: _Cell) -> str:
    kinds = {"Bool": "a proposition", "Int": "a number", "Real": "a number", "Thing": "a thing"}
    return kinds.get(cell.sort or "", f"a {cell.sort}")


def _sort_named(word: str | None) -> str | None:
    kinds = {"bool": "Bool", "int": "Int", "real": "Real", "thing": "Thing"}
    return None if word is None else kinds.get(word.casefold(), word)


def _write(term: Term, scope: _Scope) -> str:
    if term.is_name:
        return _applied(f"|{term.head}|", term, scope)
    if term.bound:
        sorts = zip(term.bound, scope.bound[id(term)], strict=True)
        variables = " ".join(f"(|{name}| {_final(cell)})" for (name, _), cell in sorts)
        return f"({term.head} ({variables}) {_write(term.args[0], scope)})"
    return _applied(term.head, term, scope)


def _applied(head: str, term: Term, scope: _Scope) -> str:
    if not term.args:
        return head
    return f"({head} {' '.join(_write(part, scope) for part in term.args)})"
