"""Who may have a rank: rules as data, each a bound on one fact of a row, with why it is there and what to do."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import inf

FEWEST_ROUNDS = 3
"""Two rounds have an interval, of one degree of freedom: 12.7 standard errors to each side."""

SPOILING = ("throttled", "contended", "partial", "uncovered", "host_sync", "uncounted", "counter_gap")
"""Flags that say that the figure itself is off, by an amount that no interval covers."""

QUALIFYING = (
    "noisy",
    "drift",
    "warmup_unconverged",
    "power_capped",
    "estimated",
    "unconverged",
    "worsened",
    "launch_bound",
)
"""Flags of figures that hold under what they say: the interval is wider for it, or all rows of a place are under it.

A board at its power limit is where its load puts it, and the limit is part of the machine's identity.
"""


@dataclass(frozen=True, slots=True)
class Rule:
    """One condition of a rank.

    Attributes:
        id: as `--explain` prints it.
        fact: what is looked at; least, most: what it may be.
        why: what is wrong with a row outside of the bounds.
        fix: what to do about it; `{suite}`, `{variant}`, `{mode}` and `{run}` are filled in.
    """

    id: str
    fact: str
    why: str
    fix: str
    least: float = -inf
    most: float = inf


RULES = (
    Rule(
        "measured",
        "measured",
        "the figure that ranks was not measured",
        "bench run {suite} --variant {variant} --mode {mode} measures it",
        least=1,
    ),
    Rule(
        "protocol",
        "other_protocol",
        "measured in another way than the rows above",
        "bench run {suite} --variant {variant} in the same profile",
        most=0,
    ),
    Rule(
        "complete",
        "absent",
        "some jobs that were planned gave no figure",
        "bench run {suite} --resume {run} completes them",
        most=0,
    ),
    Rule(
        "rounds",
        "rounds",
        f"fewer than {FEWEST_ROUNDS} rounds",
        f"bench run {{suite}} --rounds {FEWEST_ROUNDS}",
        least=FEWEST_ROUNDS,
    ),
    Rule(
        "interval",
        "interval",
        "no interval, so that nothing tells it from its neighbours",
        "rank by a quantity that has one",
        least=1,
    ),
    Rule(
        "clean",
        "uncommitted",
        "measured with uncommitted changes, so that nobody can measure it again",
        "commit, then bench run {suite} --variant {variant}",
        most=0,
    ),
    Rule(
        "answers",
        "mismatch",
        "the mode changes the answer beyond its tolerance",
        "use another mode, or mend it",
        most=0,
    ),
    Rule(
        "learnt",
        "not_learnt",
        "not_learnt: the network does not clearly beat a predictor that gives every image the same answer",
        "train it for longer",
        most=0,
    ),
    Rule(
        "sound",
        "spoilt",
        "a flag says that the figure itself is off",
        "remove the cause, then bench run {suite} --variant {variant}",
        most=0,
    ),
)


@dataclass(frozen=True, slots=True)
class Failure:
    """A rule that a row does not meet; `said` is what is known of this row beyond the rule's own sentence."""

    rule: Rule
    said: str = ""

    @property
    def text(self) -> str:
        """Why, with this row's own facts."""
        return f"{self.rule.why} ({self.said})" if self.said else self.rule.why


def met(rule: Rule, facts: Mapping[str, float]) -> bool:
    """Whether a row's facts lie within the rule's bounds; a fact that nobody knows does not count against it."""
    fact = facts.get(rule.fact)
    return fact is None or rule.least <= fact <= rule.most


def failures(facts: Mapping[str, float], said: Mapping[str, str]) -> Iterator[Failure]:
    """The rules that a row does not meet.

    Args:
        said: fact -> what is known of it.
    """
    for rule in RULES:
        if not met(rule, facts):
            yield Failure(rule, said.get(rule.fact, ""))
