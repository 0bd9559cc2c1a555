"""The condition of a claim, such as `latency('a') < 0.9 * latency('b')`: what may be one, and what it asks for."""

import ast
import re


def calls(text: str) -> list[tuple[str, str]]:
    """The (quantity, variant) pairs of a claim's comparison.

    >>> calls("pckh.mean14('a') > pckh.mean14('b') - 1.0")
    [('pckh.mean14', 'a'), ('pckh.mean14', 'b')]

    Raises:
        ValueError: it is not a comparison of quantities, numbers and + - * /.
    """
    try:
        node = ast.parse(text.strip(), mode="eval").body
    except SyntaxError:
        raise ValueError("not an expression") from None
    if not isinstance(node, ast.Compare) or not all(isinstance(o, _COMPARISONS) for o in node.ops):
        raise ValueError("not one comparison with < <= > >= or ==")
    found = [call for side in (node.left, *node.comparators) for call in _inside(side)]
    if not found:
        raise ValueError("compares no quantity of a variant")
    return found


_COMPARISONS = (ast.Lt, ast.LtE, ast.Gt, ast.GtE, ast.Eq)


def _inside(node: ast.expr) -> list[tuple[str, str]]:
    match node:
        case ast.BinOp(left, ast.Add() | ast.Sub() | ast.Mult() | ast.Div(), right):
            return [*_inside(left), *_inside(right)]
        case ast.UnaryOp(ast.USub(), operand):
            return _inside(operand)
        case ast.Constant(int() | float() as value) if not isinstance(value, bool):
            return []
        case ast.Call(func, [ast.Constant(str() as variant)], []) if re.fullmatch(r"[\w.]+", ast.unparse(func)):
            return [(ast.unparse(func), variant)]
    raise ValueError(f"`{ast.unparse(node)}` is no quantity('variant'), number or + - * /")
