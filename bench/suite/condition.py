"""The condition of a claim: a small closed language, parsed once to a tree; nothing of it runs as Python.

    latency('6-stacks') < 0.9 * latency('original')
    latency('a', mode='fast', batch=20) == latency('b', mode='fast', batch=20) +- 5%
    pckh.total('a') > pckh.total('b') - 1.0
    latency('a') <= 200 ms

One comparison, or a chain of them (`1 < a <= b`), with < <= > >= or ==, of quantities of quoted variants and numbers
(with their unit, where the quantity has one), + - * / and parentheses. `mode` and `batch` say which of a variant's
figures is meant; `batch` is that of inference, of training for what is trained. `train.peak_memory` names the phase
where several have a quantity of that name. `== x +- 5%` holds within 5 % of x, `== x +- 3 ms` within 3 ms of it.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Any

from bench.units import parse as in_base_units

COMPARISONS = ("<", "<=", ">", ">=", "==")

LONGEST = 200
"""Words of a condition; a longer one is no claim that a document makes, and its tree is walked recursively."""


@dataclass(frozen=True, slots=True)
class Number:
    """A number as written, its value in base units, and its unit; empty where none is written."""

    text: str
    value: float
    unit: str = ""


@dataclass(frozen=True, slots=True)
class Call:
    """A quantity of a variant; `mode` and `batch` are empty and None where they are not quoted."""

    quantity: str
    variant: str
    mode: str = ""
    batch: int | None = None

    def __str__(self) -> str:
        said = [_quoted(self.variant)]
        said += [f"mode={_quoted(self.mode)}"] if self.mode else []
        said += [f"batch={self.batch}"] if self.batch is not None else []
        return f"{self.quantity}({', '.join(said)})"


@dataclass(frozen=True, slots=True)
class Negative:
    """Minus something."""

    operand: "Node"


@dataclass(frozen=True, slots=True)
class Operation:
    """Two operands and one of + - * /."""

    sign: str
    left: "Node"
    right: "Node"


Node = Number | Call | Negative | Operation


@dataclass(frozen=True, slots=True)
class Tolerance:
    """How far from the right side is still equal: an amount in base units, or a share of it (0.05 is 5 %)."""

    amount: Number
    share: float | None = None

    def __str__(self) -> str:
        return f"+- {self.amount.text}"


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two sides and one of COMPARISONS; only == has a tolerance."""

    left: Node
    sign: str
    right: Node
    tolerance: Tolerance | None = None

    def __str__(self) -> str:
        return self.written(str)

    def written(self, shown: Callable[[Call], str]) -> str:
        """As text, with something else in the place of every quantity."""
        sides = f"{written(self.left, shown)} {self.sign} {written(self.right, shown)}"
        return f"{sides} {self.tolerance}" if self.tolerance else sides

    @property
    def calls(self) -> tuple[Call, ...]:
        """The quantities of both sides, none twice."""
        return tuple(dict.fromkeys([*calls(self.left), *calls(self.right)]))


def parse(text: str) -> tuple[Comparison, ...]:
    """The comparisons of a condition; a chain has several, and all must hold.

    >>> [str(one) for one in parse("1 < latency('a') <= 2*latency('b')")]
    ["1 < latency('a')", "latency('a') <= 2 * latency('b')"]

    Raises:
        ValueError: it is no condition, or divides by a number that is zero.
    """
    words = _words(text)
    if len(words) > LONGEST:
        raise ValueError(f"longer than {LONGEST} words; write it as several conditions")
    found = tuple(_Parser(words, text).condition())
    if not any(one.calls for one in found):
        raise ValueError("compares no quantity of a variant")
    for node in (node for one in found for side in (one.left, one.right) for node in _nodes(side)):
        if isinstance(node, Operation) and node.sign == "/" and is_zero(node.right):
            raise ValueError(f"`{written(node)}` divides by zero")
    return found


def calls(node: Node) -> Iterator[Call]:
    """Every quantity in a tree, from left to right."""
    return (one for one in _nodes(node) if isinstance(one, Call))


def evaluate(node: Node, values: Mapping[Call, Any]) -> Any:
    """What the tree amounts to; values are numbers, or arrays of numbers of one shape.

    Raises:
        ZeroDivisionError: a divisor is zero.
    """
    match node:
        case Number():
            return node.value
        case Call():
            return values[node]
        case Negative():
            return -evaluate(node.operand, values)
    left, right = evaluate(node.left, values), evaluate(node.right, values)
    match node.sign:
        case "+":
            return left + right
        case "-":
            return left - right
        case "*":
            return left * right
    return left / right


def slopes(node: Node, values: Mapping[Call, float]) -> dict[Call, float]:
    """Derivative of the tree by each of its quantities, at these values.

    >>> left = parse("3 * latency('a') / latency('b') < 1")[0].left
    >>> [*slopes(left, {call: 2.0 for call in calls(left)}).values()]
    [1.5, -1.5]

    Raises:
        ZeroDivisionError: a divisor is zero.
    """
    match node:
        case Number():
            return {}
        case Call():
            return {node: 1.0}
        case Negative():
            return {call: -slope for call, slope in slopes(node.operand, values).items()}
    left, right = evaluate(node.left, values), evaluate(node.right, values)
    by_left, by_right = {
        "+": (1.0, 1.0),
        "-": (1.0, -1.0),
        "*": (right, left),
        "/": (1 / right, -(left / right) / right) if node.sign == "/" else (0.0, 0.0),  # a square may overflow
    }[node.sign]
    found: dict[Call, float] = {}
    for outer, inner in ((by_left, slopes(node.left, values)), (by_right, slopes(node.right, values))):
        for call, slope in inner.items():
            found[call] = found.get(call, 0.0) + outer * slope
    return found


_RANK = {"+": 1, "-": 1, "*": 2, "/": 2}


def written(node: Node, shown: Callable[[Call], str] = str, least: int = 0) -> str:
    """The tree as text, with the parentheses that it needs below an operation of the rank `least`."""
    match node:
        case Number():
            return node.text
        case Call():
            return shown(node)
        case Negative():
            return f"-{written(node.operand, shown, 3)}"
    rank = _RANK[node.sign]
    text = f"{written(node.left, shown, rank)} {node.sign} {written(node.right, shown, rank + 1)}"
    return f"({text})" if rank < least else text


def _quoted(name: str) -> str:
    return f'"{name}"' if "'" in name else f"'{name}'"


def _nodes(node: Node) -> Iterator[Node]:
    yield node
    match node:
        case Negative():
            yield from _nodes(node.operand)
        case Operation():
            yield from _nodes(node.left)
            yield from _nodes(node.right)


def is_zero(node: Node) -> bool:
    """A tree of numbers alone that is zero; one that divides by zero itself is told by its own divisor."""
    try:
        return not [*calls(node)] and evaluate(node, {}) == 0
    except ZeroDivisionError:
        return False


_WORD = re.compile(
    r"""(?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)
      | (?P<name>image/s|[^\W\d][\w.]*)
      | (?P<text>'[^']*'|"[^"]*")
      | (?P<sign>\+-|<=|>=|==|[-+*/()<>,=%])""",
    re.VERBOSE,
)


@dataclass(frozen=True, slots=True)
class _Word:
    kind: str
    text: str
    start: int


def _words(text: str) -> list[_Word]:
    found, place = [], 0
    while place < len(text):
        if text[place].isspace():
            place += 1
            continue
        match = _WORD.match(text, place)
        if match is None or match.lastgroup is None:
            raise _unexpected(text[place:])
        found.append(_Word(match.lastgroup, match[0], place))
        place = match.end()
    return found


def _unexpected(rest: str) -> ValueError:
    return ValueError(f"`{rest.strip()}` is no quantity('variant'), number or + - * /")


_END = _Word("end", "", 0)


class _Parser:
    """Recursive descent: one method for each rank of operators."""

    def __init__(self, words: list[_Word], text: str) -> None:
        self.words = words
        self.text = text
        self.place = 0

    def condition(self) -> Iterator[Comparison]:
        left = self.sum()
        if self.next.text not in COMPARISONS:
            if self.next is not _END:
                raise self.unexpected()
            raise ValueError("not one comparison with < <= > >= or ==")
        while self.next.text in COMPARISONS:
            sign, right = self.take().text, self.sum()
            tolerance = self.tolerance() if sign == "==" and self.took("+-") else None
            yield Comparison(left, sign, right, tolerance)
            left = right
        if self.next is not _END:
            raise self.unexpected()

    def sum(self) -> Node:
        node = self.product()
        while self.next.text in ("+", "-"):
            node = Operation(self.take().text, node, self.product())
        return node

    def product(self) -> Node:
        node = self.factor()
        while self.next.text in ("*", "/"):
            node = Operation(self.take().text, node, self.factor())
        return node

    def factor(self) -> Node:
        if self.took("-"):
            return Negative(self.factor())
        if self.took("("):
            node = self.sum()
            self.expect(")")
            return node
        if self.next.kind == "number":
            return self.number()
        if self.next.kind == "name":
            return self.call()
        raise self.unexpected()

    def number(self) -> Number:
        """A number and, where a name follows it, its unit."""
        written = self.take().text
        unit = self.take().text if self.next.kind == "name" or self.next.text == "%" else ""
        text = f"{written} {unit}".strip()
        value = in_base_units(text)
        if not isfinite(value):
            raise ValueError(f"`{text}` is no finite number")
        return Number(text, value, unit)

    def call(self) -> Call:
        start = self.next.start
        quantity, chosen = self.take().text, {}
        self.expect("(", start)
        variant = self.quoted(start)
        while self.took(","):
            key = self.take().text if self.next.text in ("mode", "batch") else ""
            if not key or key in chosen or not self.took("="):
                raise self.unexpected(start)
            chosen[key] = self.quoted(start) if key == "mode" else self.take().text
        self.expect(")", start)
        batch = chosen.get("batch")
        if batch is not None and not re.fullmatch(r"[1-9][0-9]{0,8}", batch):
            raise ValueError(f"batch={batch}: write a whole number of at least 1")
        return Call(quantity, variant, chosen.get("mode", ""), None if batch is None else int(batch))

    def quoted(self, start: int) -> str:
        if self.next.kind != "text":
            raise self.unexpected(start)
        return self.take().text[1:-1]

    def tolerance(self) -> Tolerance:
        if self.next.kind != "number":
            raise ValueError("write a number after +-, such as +- 5%")
        amount = self.number()
        return Tolerance(amount, amount.value / 100 if amount.unit == "%" else None)

    @property
    def next(self) -> _Word:
        return self.words[self.place] if self.place < len(self.words) else _END

    def take(self) -> _Word:
        word = self.next
        self.place += 1
        return word

    def took(self, text: str) -> bool:
        if self.next.text != text or self.next is _END:
            return False
        self.place += 1
        return True

    def expect(self, text: str, start: int | None = None) -> None:
        if not self.took(text):
            raise self.unexpected(start)

    def unexpected(self, start: int | None = None) -> ValueError:
        """What is wrong from here, or from `start`, on."""
        if self.next is _END and start is None:
            return ValueError("not an expression: it ends too early")
        return _unexpected(self.text[self.next.start if start is None else start :])
