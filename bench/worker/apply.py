"""Applies a job's modes to its subject, in the plugins' own order, and has each prove that it was applied."""

from collections.abc import Iterable
from dataclasses import replace

from bench import plugins
from bench.errors import Failed, Unavailable
from bench.worker import compiling
from bench.worker.subject import Subject


def apply_modes(subject: Subject) -> Subject:
    """Apply the job's modes in the plugins' own order.

    Raises:
        Unavailable: a mode's probe says that it cannot run here.
        Failed: a mode compiles, and its compiler has nowhere to write.
    """
    modules = {name: plugins.load("mode", name) for name in subject.job.modes}
    for name, module in sorted(modules.items(), key=lambda item: item[1].ORDER):
        reason = module.probe()
        if reason:
            raise Unavailable(reason)
        if compiles([name]) and not subject.cache:
            subject = replace(subject, cache=compiling.cache_state())
        subject = module.apply(subject, subject.job.modes[name])
    return subject


def compiles(modes: Iterable[str]) -> bool:
    """Whether one of these modes says that it compiles, in its constant COMPILES; none is imported for that."""
    return any(plugins.declared_by(modes, "COMPILES"))


def prove_modes(subject: Subject) -> None:
    """Have every mode prove that it was applied.

    Raises:
        Failed: one was not.
    """
    for name in subject.job.modes:
        reason = plugins.load("mode", name).prove(subject)
        if reason:
            raise Failed(f"{name}: {reason}")
