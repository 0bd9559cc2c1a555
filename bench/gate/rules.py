"""The rules of a gate: which figures are judged, by how much each may get worse, and which measure gives it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench import gate, plugins
from bench.errors import UsageError, nearest
from bench.gate import EXACT
from bench.plan import measures_by_phase
from bench.suite import Suite
from bench.suite.positions import line_of

TIMES = ("s", "image/s", "J", "W")
"""Units of what varies from process to process, and is decided by a test of its mean."""


@dataclass(frozen=True, slots=True)
class Rules:
    """Quantity -> allowed worsening, its measure and the phases of that."""

    allowed: Mapping[str, str]
    measures: Mapping[str, str]
    phases: Mapping[str, tuple[str, ...]]
    units: Mapping[str, str]

    def of_phase(self, phase: str) -> list[str]:
        """The quantities that a phase gives."""
        return [name for name in self.allowed if phase in self.phases[name]]

    def timed(self, name: str) -> bool:
        """Decided by the paired test."""
        return self.units[name] in TIMES


def chosen(written: Mapping[str, str], measures: Sequence[str], where: Path, profile: str = "") -> dict[str, str]:
    """The rules about these measures' figures; all of them where none is named.

    `where` is the suite or the run that they are written in.

    Raises:
        UsageError: a rule that no figure can be judged by, or a measure without a rule.
    """
    of, units = plugins.measure_of(), plugins.quantities()
    for name, rule in written.items():
        if name not in units:
            said = f"no measure gives this figure; {nearest(name, units)}"
            raise UsageError(f"{_place(where, profile, name)}: gate.{name}: {said}")
        if units[name] in TIMES and rule == EXACT:
            said = 'no time is exact; write a percentage, such as "3%"'
            raise UsageError(f'{_place(where, profile, name)}: gate.{name} = "exact": {said}')
    ruled = {of[name] for name in written}
    for measure in measures:
        plugins.path("measure", measure)  # raises with the nearest name
        if measure not in ruled:
            known = ", ".join(sorted(ruled))
            raise UsageError(f"--measure {measure}: [gate] of {where} has no rule about it; it has about: {known}")
    return {name: rule for name, rule in written.items() if not measures or of[name] in measures}


def _place(where: Path, profile: str, name: str) -> str:
    """`file:line` of a rule in a suite, in its profile where that has one of its own; a run's file has no such line."""
    import tomllib  # here, since rules are seldom wrong

    if where.suffix != ".toml":
        return str(where)
    text = where.read_text(encoding="utf-8")
    own = tomllib.loads(text).get("profiles", {}).get(profile, {}).get("gate", {})
    return f"{where}:{line_of(text, ('profiles', profile, 'gate', name) if name in own else ('gate', name))}"


def rules_of(suite: Suite, measures: Sequence[str] = ()) -> tuple[Rules, list[str]]:
    """The rules that apply, and a note for each that does not.

    Raises:
        UsageError: a rule that no figure can be judged by, or none is left.
    """
    of, units = plugins.measure_of(), plugins.quantities()
    written = chosen(suite.gate or gate.DEFAULT_RULES, measures, suite.path, suite.profile)
    untrained = [name for name in written if of[name] == "accuracy" and "accuracy" not in suite.measures]
    profile = suite.profile or "as written"
    notes = [f"{name} is not gated: profile {profile} does not train" for name in untrained]
    allowed = {name: rule for name, rule in written.items() if name not in untrained}
    if not allowed:
        raise UsageError(f"{suite.path}: {'; '.join(notes) or 'no rule in [gate]'}; see: bench show {suite.name}")
    found = measures_by_phase([*dict.fromkeys(of[name] for name in allowed)])
    phases = {name: tuple(phase for phase, given in found.items() if of[name] in given) for name in allowed}
    if not suite.gate:
        notes.append("the suite has no [gate]: " + ", ".join(f"{name} {rule}" for name, rule in allowed.items()))
    return Rules(allowed, of, phases, units), notes


def apart(base: Suite, head: Suite) -> str:
    """How the rules of two suites differ, in words."""
    names = [name for name in {**base.gate, **head.gate} if base.gate.get(name) != head.gate.get(name)]
    return ", ".join(f"{name} {base.gate.get(name, 'without')} -> {head.gate.get(name, 'without')}" for name in names)
