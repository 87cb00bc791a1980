"""What a proof starts from: names with their sorts, and premises, in SMT-LIB's words.

A premise is a declaration (``n, m: int``, ``man: thing -> bool``, ``(declare-const n Int)``) or a
formula (see `rung.verify.formula`, or a term of SMT-LIB: ``(=> p (> x 0))``). Names need no
declaration where their use tells their sort: what stands alone is a proposition, what is reckoned
with or compared by size is a real number, all else is a thing. Integers must be declared.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from rung.verify.formula import MAX_DEPTH, MAX_FORMULA_CHARS, Term, parse_formula
from rung.verify.sorts import Names, Signature, infer

_SORTS = {"bool": "Bool", "int": "Int", "real": "Real", "thing": "Thing"}
_DECLARATION = re.compile(
    r"\s*(?P<names>[^\W\d][\w']*(?:\s*,\s*[^\W\d][\w']*)*)\s*:\s*"
    r"(?:(?P<args>\w+(?:\s*,\s*\w+)*)\s*->\s*)?(?P<result>[^\W\d]\w*)\s*"
)
_PIECE = re.compile(r'\s*(?:;[^\n]*)?(\(|\)|\|[^|\\]*\||"(?:[^"]|"")*"|[^\s()|";]+)')
_SYMBOL = re.compile(r"[^\s()|\";]+|\|[^|\\]*\|")


class Statement(NamedTuple):
    """A formula as a term of SMT-LIB, and the names that are new in it."""

    term: str
    new_names: Mapping[str, Signature]


@dataclass(frozen=True, slots=True)
class Theory:
    """Names with their sorts, and what is assumed of them."""

    names: Names
    premises: tuple[str, ...]
    """Terms of SMT-LIB."""
    is_z3s: bool = False
    """Whether there is a term of SMT-LIB or a sort of the user's, which only Z3 can tell is one."""

    def read(self, text: str) -> Statement:
        """Read a formula about these names (new ones may come in, but no new one alone).

        Raises:
            ValueError: It is no formula, or goes against the sorts of the names.
        """
        form = _form_of(text)
        if isinstance(form, str):
            return Statement(form, {})
        if form.is_name and not form.args and form.head not in self.names:
            # a word such as "QED" is no claim
            raise ValueError(f"nothing before it speaks of {form.head[:60]!r}")
        (term,), names = infer([form], self.names)
        return Statement(term, {name: names[name] for name in names if name not in self.names})


def read_premises(premises: Sequence[str]) -> Theory:
    """Read premises; a name means the same in all of them.

    Raises:
        ValueError: One can't be read; the sentence says which (1 is the first) and why.
    """
    declared: dict[str, Signature] = {}
    forms: list[Term | str] = []
    for number, text in enumerate(premises, start=1):
        try:
            names = declarations_in(text)
            if names is None:
                forms.append(_form_of(text))
            elif clash := [name for name in names if name in declared]:
                raise ValueError(f"{clash[0]} is declared twice")
            else:
                declared |= names
        except ValueError as error:
            raise ValueError(f"premise {number}: {error}") from error
    infixes = [form for form in forms if isinstance(form, Term)]
    terms, known = infer(infixes, declared)
    written = iter(terms)
    terms_of_all = tuple(next(written) if isinstance(f, Term) else f for f in forms)
    sorts = {sort for one in declared.values() for sort in (*one.args, one.result)}
    is_z3s = len(infixes) < len(forms) or not sorts <= set(_SORTS.values())
    return Theory(known, terms_of_all, is_z3s)


def declarations_in(text: str) -> dict[str, Signature] | None:
    """The names that a declaration declares; None when the text is a formula.

    Raises:
        ValueError: It is a command of SMT-LIB's that is no declaration of a name.
    """
    infix = _DECLARATION.fullmatch(text[:MAX_FORMULA_CHARS])
    if infix is not None:
        args = tuple(map(_sort, re.split(r"\s*,\s*", infix["args"]))) if infix["args"] else ()
        signature = Signature(args, _sort(infix["result"]))
        return dict.fromkeys(re.split(r"\s*,\s*", infix["names"]), signature)
    if not re.match(r"\s*\((?:declare|define|assert|set|check)", text):
        return None
    pieces = s_expression(text)
    match pieces:
        case ["(", "declare-const", name, sort, ")"] if _SYMBOL.fullmatch(sort):
            return {name.strip("|"): Signature((), sort)}
        case ["(", "declare-fun", name, "(", *args, ")", sort, ")"] if _are_symbols([*args, sort]):
            return {name.strip("|"): Signature(tuple(args), sort)}
        case _:
            raise ValueError(
                "expected (declare-const NAME SORT) or (declare-fun NAME (SORTS) SORT), a formula,"
                f" or names: sort; not {text[:60]!r}"
            )


def s_expression(text: str) -> list[str]:
    """The pieces of the one S-expression that a text is.

    Raises:
        ValueError: It is none, or more than one, or nested too deep.
    """
    if len(text) > MAX_FORMULA_CHARS:
        raise ValueError(f"{len(text)} characters, expected at most {MAX_FORMULA_CHARS}")
    pieces: list[str] = []
    place = depth = 0
    end = len(text.rstrip())
    while place < end:
        match = _PIECE.match(text, place)
        if match is None or (pieces and depth == 0):
            raise ValueError(f"expected one expression, which ends before character {place + 1}")
        place = match.end()
        pieces.append(match[1])
        depth += {"(": 1, ")": -1}.get(match[1], 0)
        if not 0 <= depth <= MAX_DEPTH:
            raise ValueError(
                "a ')' too many" if depth < 0 else f"nested more than {MAX_DEPTH} deep"
            )
    if depth or not pieces:
        raise ValueError(f"{depth} ')' are missing" if depth else "there is no formula")
    return pieces


def script(names: Names, assumed: Iterable[str], denied: str | None = None) -> str:
    """SMT-LIB that can be satisfied unless `denied` follows from what is assumed."""
    sorts = {sort for signature in names.values() for sort in (*signature.args, signature.result)}
    lines = [f"(declare-sort {sort} 0)" for sort in sorted(sorts - {"Bool", "Int", "Real"})]
    lines += [
        f"(declare-fun |{name}| ({' '.join(signature.args)}) {signature.result})"
        for name, signature in sorted(names.items())
    ]
    lines += [f"(assert {term})" for term in assumed]
    if denied is not None:
        lines.append(f"(assert (not {denied}))")
    return "\n".join(lines)


def _form_of(text: str) -> Term | str:
    """The term that an infix formula is, else the one of SMT-LIB.

    What can be read in both ways, as ``(not p)``, means the same in both.
    """
    try:
        return parse_formula(text)
    except ValueError:
        if not text.lstrip().startswith("("):
            raise
        try:
            pieces = s_expression(text)
        except ValueError:
            pieces = []
        if len(pieces) < 3 or pieces[1] in "()":  # it was meant as infix
            raise
        return " ".join(pieces)


def _sort(word: str) -> str:
    return _SORTS.get(word.casefold(), word)


def _are_symbols(pieces: Sequence[str]) -> bool:
    return all(_SYMBOL.fullmatch(piece) for piece in pieces)
