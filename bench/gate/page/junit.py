"""For a CI's list of tests: one test case per finding, in the XML that JUnit's readers share."""

from xml.etree import ElementTree as ET

from bench.gate import INCONCLUSIVE, NOT_COMPARABLE, NOT_MEASURED, REGRESSED, Finding, Judgement
from bench.gate.page.rows import about, clean, notes, sentence, verdict_line

ELEMENTS = {REGRESSED: "failure", NOT_MEASURED: "error", NOT_COMPARABLE: "error", INCONCLUSIVE: "skipped"}
"""What a verdict is among tests; a pass has no element. Strictly, what is inconclusive has failed."""


def render(judgement: Judgement) -> str:
    """The XML text, to be written as UTF-8; where no figure was gated at all, that is an error, not no tests."""
    cases = [_case(finding, judgement) for finding in judgement.findings] or [_nothing(judgement)]
    counts = {
        "tests": str(len(cases)),
        "failures": str(sum(case.find("failure") is not None for case in cases)),
        "errors": str(sum(case.find("error") is not None for case in cases)),
    }
    times = {"time": f"{judgement.seconds:.3f}"}
    root = ET.Element("testsuites", {"name": "bench gate", **counts, **times})
    skipped = str(sum(case.find("skipped") is not None for case in cases))
    suite = ET.SubElement(root, "testsuite", {"name": clean(judgement.suite), **counts, "skipped": skipped, **times})
    properties = ET.SubElement(suite, "properties")
    for name in ("base", "head", "profile", "path"):
        ET.SubElement(properties, "property", {"name": name, "value": clean(getattr(judgement, name))})
    suite.extend(cases)
    _text(suite, "system-out", "\n".join([verdict_line(judgement), about(judgement), *notes(judgement)]))
    ET.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"


def _case(finding: Finding, judgement: Judgement) -> ET.Element:
    named = {"classname": clean(f"{judgement.suite}.{finding.variant}"), "name": clean(finding.cell)}
    case = ET.Element("testcase", named)
    said = sentence(finding)
    if finding.verdict in ELEMENTS:
        attributes = {"type": finding.verdict, "message": f"{finding.verdict}: {said}"}
        failed = judgement.strict and finding.verdict == INCONCLUSIVE
        ET.SubElement(case, "failure" if failed else ELEMENTS[finding.verdict], attributes)
    _text(case, "system-out", said)
    return case


def _nothing(judgement: Judgement) -> ET.Element:
    case = ET.Element("testcase", {"classname": clean(judgement.suite), "name": "gate"})
    ET.SubElement(case, "error", {"type": NOT_MEASURED, "message": verdict_line(judgement)})
    return case


def _text(parent: ET.Element, name: str, text: str) -> None:
    ET.SubElement(parent, name).text = text
