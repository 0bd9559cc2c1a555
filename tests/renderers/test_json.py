from collections.abc import Callable
from json import loads

import builders

from bench.renderers import json
from bench.table import tabulate


def test_golden(golden: Callable[[str, str], None]) -> None:
    golden("table.json", json.render(tabulate(builders.SUITE, builders.records())))


def test_numbers_are_numbers_and_what_is_not_there_is_null() -> None:
    page = loads(json.render(tabulate(builders.SUITE, builders.records())))
    cells = {(c["phase"], c["variant"], c["mode"], c["quantity"]): c for c in page["cells"]}
    assert cells["static", "deep", "", "params"]["value"] == 42_476_544
    epoch = cells["train", "slim", "fast", "train_epoch"]
    assert epoch["flags"] == ["estimated"]
    assert epoch["published"] == 14.3 * 60
    assert epoch["ratio_notes"] == ["train.batch 6 instead of 20"]
    assert len(epoch["values"]) == epoch["rounds"] == 3
    assert cells["train", "deep", "fast", "train_epoch"]["value"] is None
    assert cells["infer", "slim", "fast", "latency"]["mismatch"] is True
