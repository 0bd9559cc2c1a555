"""What a table is made of: plain data in base units, with every sentence that belongs under it.

`tabulate` makes it, `grid` turns it into text, the renderers lay that out. A cell keeps ours, the ratio to the
baseline and the published figure apart, so that no renderer can mix them.
"""

from dataclasses import dataclass, field

from bench.record import Json, Quantity
from bench.stats import Interval

TIMES = "\N{MULTIPLICATION SIGN}"

STATIC_UNITS = ("%",)
"""Units of quantities that do not depend on the machine, besides the exact ones."""


def portable(quantity: Quantity) -> bool:
    """Whether a figure is the same on every machine."""
    return quantity.exact or quantity.unit in STATIC_UNITS


@dataclass(frozen=True, slots=True)
class Ratio:
    """A cell relative to another one (below 1: smaller), or the reason why they are not compared.

    Attributes:
        interval: None where there is no ratio.
        reason: why there is none.
        notes: what to know about it, such as a declared factor that differs.
    """

    interval: Interval | None = None
    reason: str = ""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Published:
    """A document's figure for the same variant and quantity.

    Attributes:
        text: as the document prints it; value: in base units.
        ratio: to the document's own figure of the baseline; None for what does not depend on the machine.
        difference: ours against theirs: of the two ratios in percent, or of the two values in the quantity's unit.
        source: table, epochs and batch of the entry; base: of the baseline's, where there is a ratio to it.
    """

    text: str
    value: float
    ratio: float | None = None
    difference: Interval | None = None
    source: str = ""
    base: str = ""


@dataclass(frozen=True, slots=True)
class Cell:
    """One figure, its rounds merged, or the reason why there is none.

    Attributes:
        value: in base units; None comes with a reason.
        low, high: 95 % interval over the rounds, where there are two or more; of accuracy with one seed, its own.
        rounds: (round or seed, its value), what was merged.
        within: standard deviation of ln(sample) inside a round, pooled; None without samples.
        ratio: to the baseline in the same mode; None in a column that is not compared.
        speedup: reference mode's value over this one; None in a column without it.
        flags: names from FLAGS, of all rounds.
        notes: sentences about this value.
        best: nothing comparable in the column is better; ties included.
    """

    value: float | int | None = None
    low: float | None = None
    high: float | None = None
    rounds: tuple[tuple[int, float], ...] = ()
    within: float | None = None
    ratio: Ratio | None = None
    speedup: Ratio | None = None
    published: Published | None = None
    flags: tuple[str, ...] = ()
    reason: str = ""
    notes: tuple[str, ...] = ()
    best: bool = False

    @property
    def interval(self) -> Interval | None:
        """The value with its interval, where there is a value."""
        return None if self.value is None else Interval(float(self.value), self.low, self.high)


@dataclass(frozen=True, slots=True)
class Column:
    """One quantity of a section.

    Attributes:
        factor, unit: the human unit of the whole column and its size in base units.
        compared: shows a ratio to the baseline; speedup: shows one to the reference mode.
        learnt: of a trained network: seeds stand in the place of rounds, it may be negative, and no machine matters.
        notes: sentences about the whole column.
    """

    quantity: Quantity
    factor: float = 1.0
    unit: str = ""
    compared: bool = False
    speedup: bool = False
    learnt: bool = False
    notes: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """The quantity's name, as users type it."""
        return self.quantity.name

    @property
    def portable(self) -> bool:
        """Does not depend on the machine, so that values compare directly."""
        return self.learnt or portable(self.quantity)


@dataclass(frozen=True, slots=True)
class Row:
    """One variant in one mode; its cells in the order of the section's columns.

    Attributes:
        struck: the mode changes the answer: shown, but neither ranked nor compared.
        notes: sentences about the whole row.
        protocol: family of quantities -> its fingerprint.
    """

    variant: str
    mode: str
    cells: tuple[Cell, ...]
    struck: bool = False
    notes: tuple[str, ...] = ()
    protocol: Json = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Section:
    """The figures of one phase. `lead` is what all its rows share: sizes, batches, device."""

    phase: str
    title: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    lead: str = ""


@dataclass(frozen=True, slots=True)
class About:
    """Where the figures are from, for a format that another tool reads.

    Attributes:
        started: UTC, ISO 8601.
        machines: identities of the machines that measured; those of earlier accuracy left out.
        source: the code that was measured (see host.source); empty where only the records are known.
    """

    suite: str = ""
    profile: str = ""
    started: str = ""
    machines: tuple[Json, ...] = ()
    source: Json = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Table:
    """A whole report.

    Attributes:
        lead: lines above: source, profile, what came of the jobs.
        baseline: the variant that ratios refer to; reference: the mode that speed-ups refer to.
        notes: lines below: what the signs mean, the machine, what was not measured.
    """

    title: str
    lead: tuple[str, ...]
    sections: tuple[Section, ...]
    notes: tuple[str, ...]
    baseline: str = ""
    reference: str = ""
    about: About = About()
