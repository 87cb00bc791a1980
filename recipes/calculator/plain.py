"""Plain equations computed once more, by Python's own parser, to check the calculator."""

from __future__ import annotations

import ast
import operator
from fractions import Fraction

from rung.verify import StepCheck

_OPERATORS = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}


def is_unequal(text: str, check: StepCheck) -> bool:
    """Whether Python finds two different values on the sides of a plain equation called wrong."""
    for equation in check.equations:
        if equation.is_right is False:
            values = [_value(side) for side in text[equation.start : equation.end].split("=")]
            if len(values) == 2 and None not in values and values[0] != values[1]:
                return True
    return False


def _value(side: str) -> Fraction | None:
    try:
        return _of(ast.parse(side.replace(",", "").replace("$", "").strip(), mode="eval").body)
    except (SyntaxError, ValueError, ZeroDivisionError):
        return None


def _of(node: ast.AST) -> Fraction:
    if isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        return Fraction(str(node.value))
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return -_of(node.operand)
    if isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
        return _OPERATORS[type(node.op)](_of(node.left), _of(node.right))
    raise ValueError("not plain")
