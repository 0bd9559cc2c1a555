"""Applies a job's modes to its subject, in the plugins' own order, and has each prove that it was applied."""

from bench import plugins
from bench.errors import Failed, Unavailable
from bench.worker.subject import Subject


def apply_modes(subject: Subject) -> Subject:
    """Apply the job's modes in the plugins' own order.

    Raises:
        Unavailable: a mode's probe says that it cannot run here.
    """
    modules = {name: plugins.load("mode", name) for name in subject.job.modes}
    for name, module in sorted(modules.items(), key=lambda item: item[1].ORDER):
        reason = module.probe()
        if reason:
            raise Unavailable(reason)
        subject = module.apply(subject, subject.job.modes[name])
    return subject


def prove_modes(subject: Subject) -> None:
    """Have every mode prove that it was applied.

    Raises:
        Failed: one was not.
    """
    for name in subject.job.modes:
        reason = plugins.load("mode", name).prove(subject)
        if reason:
            raise Failed(f"{name}: {reason}")
