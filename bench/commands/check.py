"""Check suites and plugins without measuring anything."""

import ast
from dataclasses import replace
from pathlib import Path

import click

from bench import api, host, plugins
from bench.errors import Exit, SuiteError, UsageError
from bench.plan import plan
from bench.suite import Suite, load_suite, profile_names
from bench.validate import said, validate

FUNCTIONS = {
    "arch": ("build",),
    "mode": ("probe", "apply", "prove"),
    "measure": ("measure",),
    "dataset": ("load",),
    "metric": ("blind", "change", "moved", "pictured"),
    "renderer": ("render",),
    "engine": ("execute",),
}
"""What a file of each kind must define."""

CONSTANTS = {
    "mode": ("ORDER", "PHASES", "EXCLUDES"),
    "measure": ("PHASE",),
    "metric": ("KEYS", "HEADLINE", "THRESHOLDS", "BY_STACK"),
}

CLASSES = {"metric": {"Metric": ("update", "compute")}}
"""Classes with their methods; what a class may inherit is not looked for."""


def plugin_problems(kind: str, name: str) -> list[str]:
    """What a plugin's file lacks, read from its text."""
    file = plugins.path(kind, name)
    problems = [] if plugins.help_line(kind, name) else [f"{file}:1: no docstring; its first line is the help text"]
    for function in FUNCTIONS.get(kind, ()):
        try:
            plugins.options(file, function)
        except UsageError as error:
            problems.append(str(error))
    if kind == "arch":
        try:
            plugins.needs(file)
        except UsageError as error:
            problems.append(str(error))
    for constant in CONSTANTS.get(kind, ()):
        if plugins.constant(file, constant) is None:
            problems.append(f"{file}:1: no {constant}; see CONTRIBUTING.md")
    for name_, methods in CLASSES.get(kind, {}).items():
        problems += class_problems(file, name_, methods)
    return problems


def class_problems(file: Path, name: str, methods: tuple[str, ...]) -> list[str]:
    """What a class of a file lacks, read from its text."""
    body = ast.parse(file.read_text(encoding="utf-8")).body
    found = next((node for node in body if isinstance(node, ast.ClassDef) and node.name == name), None)
    if found is None:
        return [f"{file}: defines no class {name}"]
    own = {node.name for node in found.body if isinstance(node, ast.FunctionDef)}
    missing = [method for method in methods if method not in own and not found.bases]
    return [f"{file}:{found.lineno}: class {name} has no method {method}()" for method in missing]


def suite_problems(name: str, device: str, absent: dict[str, str]) -> list[str]:
    """What is wrong with a suite in any of its profiles; its networks are built on the meta device.

    `absent` is filled with the networks that are not available here, as by `validate`.
    """
    threads = host.usable_cores()
    built: set[str] = set()
    try:
        for profile in profile_names(name) or [""]:
            suite = load_suite(name, profile or None)
            plan(suite, device=device, threads=threads)
            validate(not_yet_built(suite, built), device=device, threads=threads, absent=absent)
    except SuiteError as error:
        return error.problems
    return []


def not_yet_built(suite: Suite, built: set[str]) -> Suite:
    """The suite with the networks alone that are not in `built`, to which they are added: profiles share most."""
    networks = {repr((v.arch, v.options, v.data, v.weights)): v for v in reversed(suite.variants)}
    kept = [variant for network, variant in networks.items() if network not in built]
    built.update(networks)
    return replace(suite, variants=tuple(reversed(kept)))


@click.command()
@click.argument("suites", nargs=-1)
@click.option("--device", default="cpu", metavar="NAME", help="Device that the suites are checked for [default: cpu].")
def check(suites: tuple[str, ...], device: str) -> int:
    """Check SUITES (all of them where none is named) in every profile, and the plugins' files; runs nothing."""
    api.check_device(device)
    problems: list[str] = []
    if not suites:
        for kind in plugins.PACKAGES:
            for name in plugins.names(kind):
                problems += plugin_problems(kind, name)
    for name in suites or plugins.names("suite"):
        absent: dict[str, str] = {}
        found = suite_problems(name, device, absent)
        click.echo(f"{name}: {f'{len(found)} problem(s)' if found else 'ok'}", err=True)
        for line in said(absent):
            click.echo(f"{name}: {line}", err=True)
        problems += found
    for problem in dict.fromkeys(problems):
        click.echo(problem)
    return Exit.USAGE if problems else Exit.FINE
