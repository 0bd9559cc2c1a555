"""Jobs, records and headers: one JSON line each, identities, and what belongs to which fingerprint."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jobs import header, job, record

from bench import record as module
from bench.record import (
    FLAGS,
    PHASES,
    STATUSES,
    Header,
    Job,
    Protocol,
    Quantity,
    Record,
    Value,
    decode_job,
    decode_line,
    decode_record,
    encode,
    fingerprints,
)

TEXT = st.text(max_size=8)
FINITE = st.floats(allow_nan=False, allow_infinity=False)
COUNT = st.integers(0, 2**53)
JSON = st.dictionaries(
    TEXT,
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**53), 2**53) | FINITE | TEXT,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
        max_leaves=6,
    ),
    max_size=3,
)
PROTOCOLS = st.builds(Protocol, min_samples=COUNT, min_seconds=FINITE, half_width=FINITE, fvcore_seconds=FINITE)
JOBS = st.builds(
    Job,
    suite=TEXT,
    variant=TEXT,
    phase=TEXT,
    mode=TEXT,
    round=COUNT,
    arch=TEXT,
    options=JSON,
    modes=JSON,
    data=JSON,
    train=JSON,
    measures=st.lists(TEXT, max_size=3),
    protocol=PROTOCOLS,
    threads=COUNT,
    paths=st.lists(TEXT, max_size=2),
    timeout=FINITE,
)
QUANTITIES = st.builds(
    Quantity,
    name=TEXT,
    unit=TEXT,
    better=st.sampled_from(["lower", "higher", "none"]),
    title=TEXT,
    exact=st.booleans(),
    headline=st.booleans(),
)
VALUES = st.builds(
    Value,
    quantity=QUANTITIES,
    value=st.none() | FINITE | st.integers(-(2**53), 2**53),
    low=st.none() | FINITE,
    samples=st.lists(FINITE, max_size=4),
    flags=st.lists(st.sampled_from(sorted(FLAGS)), max_size=2),
    how=TEXT,
    reason=TEXT,
    details=JSON,
)
RECORDS = st.builds(
    Record,
    job=JOBS,
    status=st.sampled_from(STATUSES),
    id=TEXT,
    reason=TEXT,
    values=st.lists(VALUES, max_size=2),
    fingerprints=st.dictionaries(TEXT, JSON, max_size=2),
    environment=JSON,
    seconds=FINITE,
    attempt=COUNT,
    artefacts=st.dictionaries(TEXT, TEXT, max_size=2),
)
HEADERS = st.builds(Header, run=TEXT, suite=JSON, profile=TEXT, machine=JSON, command=st.lists(TEXT, max_size=3))


@given(JOBS)
def test_a_job_comes_back_as_it_was(sent: Job) -> None:
    back = decode_job(encode(sent))
    assert back == sent
    assert back.id == sent.id


@given(RECORDS)
def test_a_record_comes_back_as_it_was(sent: Record) -> None:
    assert decode_record(encode(sent)) == sent
    assert decode_line(encode(sent)) == sent


@given(HEADERS)
def test_a_header_comes_back_as_it_was(sent: Header) -> None:
    assert decode_line(encode(sent)) == sent


@given(RECORDS | HEADERS)
def test_an_encoded_line_has_no_newline_inside(sent: Record | Header) -> None:
    assert b"\n" not in encode(sent)


@pytest.mark.parametrize("line", [b"", b"{}", b"[1]", b'{"type":"run"}', b'{"type":"other","run":"x"}', b"\xff\xfe"])
def test_what_is_neither_record_nor_header_is_refused(line: bytes) -> None:
    with pytest.raises((msgspec.DecodeError, UnicodeDecodeError)):
        decode_line(line)


@given(JSON, JSON)
def test_the_id_ignores_the_order_of_keys(options: dict[str, Any], data: dict[str, Any]) -> None:
    turned = {key: options[key] for key in reversed(options)}
    assert job(options=options, data=data).id == job(options=turned, data={k: data[k] for k in reversed(data)}).id


CHANGES: dict[str, Any] = {
    "suite": "other",
    "variant": "other",
    "phase": "train",
    "mode": "fast",
    "round": 3,
    "arch": "unet",
    "options": {"stacks": 2},
    "weights_hash": "0f3c",
    "weights_without": ["head"],
    "modes": {"amp": "float16"},
    "data": {"size": 128},
    "infer": {"batch": 2},
    "train": {"batch": 2},
    "measures": ["params"],
    "metrics": ["pckh"],
    "protocol": Protocol(min_samples=1),
    "device": "cuda",
    "threads": 2,
    "seed": 1,
}
PLACES: dict[str, Any] = {
    "checks": {"fast": {"amp": "float16"}},
    "arch_file": "/x/unet.py",
    "weights": "/x/a.pt",
    "paths": ["/x"],
    "artefacts": "/x/run",
    "timeout": 1.0,
}


def test_every_field_of_a_job_either_counts_or_is_a_place() -> None:
    assert {field.name for field in msgspec.structs.fields(Job)} == CHANGES.keys() | PLACES.keys()


@pytest.mark.parametrize("field", CHANGES)
def test_the_id_differs_for_anything_that_counts(field: str) -> None:
    assert job(**{field: CHANGES[field]}).id != job().id


@pytest.mark.parametrize("field", PLACES)
def test_the_id_ignores_where_files_lie_how_long_we_wait_and_what_is_checked_after(field: str) -> None:
    assert job(**{field: PLACES[field]}).id == job().id


@pytest.mark.parametrize(
    ("changes", "cell"),
    [
        ({}, "original/fp32/infer"),
        ({"mode": "", "phase": "static"}, "original/static"),
        ({"round": 4}, "original/fp32/infer"),
    ],
)
def test_a_cell_is_named_without_its_round(changes: dict[str, Any], cell: str) -> None:
    assert job(**changes).cell == cell


DATA = {"use": "random", "size": 64, "train": 100, "val": 10, "options": {}}
TRAIN = {"batch": 4, "recipe": {"name": "fast", "lr": 0.1}, "epochs": 3, "mode": "fp32"}


def prints(phase: str, **changes: Any) -> dict[str, Any]:
    asked = {"data": DATA, "infer": {"batch": 1}, "train": TRAIN} | changes
    return fingerprints(job(phase=phase, **asked))


@pytest.mark.parametrize("phase", PHASES)
def test_families(phase: str) -> None:
    families = {
        "static": {"static"},
        "infer": {"infer", "eval", "memory"},
        "train": {"train"},
        "accuracy": {"accuracy"},
    }
    assert prints(phase).keys() == families[phase]


NOBODY: set[str] = set()
EVERY = {"static", "infer", "eval", "memory", "train", "accuracy"}


@pytest.mark.parametrize(
    ("changes", "moved"),
    [
        ({"data": DATA | {"size": 128}}, EVERY),
        ({"data": DATA | {"use": "photos"}}, {"eval", "train", "accuracy"}),
        ({"data": DATA | {"version": 2}}, {"eval", "train", "accuracy"}),
        ({"data": DATA | {"options": {"noise": 1}}}, EVERY),
        ({"data": DATA | {"options": {"path": "/x"}}}, NOBODY),
        ({"data": DATA | {"val": 20}}, {"eval", "accuracy"}),
        ({"data": DATA | {"train": 200}}, {"train", "accuracy"}),
        ({"infer": {"batch": 2}}, {"infer", "eval", "memory"}),
        ({"train": TRAIN | {"batch": 6}}, {"train", "accuracy"}),
        ({"train": TRAIN | {"recipe": {"name": "slow", "lr": 0.1}}}, {"train", "accuracy"}),
        ({"train": TRAIN | {"epochs": 4}}, {"accuracy"}),
        ({"train": TRAIN | {"samples": 400}}, {"accuracy"}),
        ({"train": TRAIN | {"flip_test": True}}, {"accuracy"}),
        ({"train": TRAIN | {"validations": 20}}, {"accuracy"}),
        ({"metrics": ["other"]}, {"accuracy"}),
        ({"checks": {"half": {"amp": "float16"}}}, NOBODY),
        ({"train": TRAIN | {"mode": "amp"}}, NOBODY),
        ({"device": "cuda"}, {"infer", "eval", "memory", "train"}),
        ({"threads": 2}, {"infer", "eval", "memory", "train"}),
        ({"protocol": Protocol(min_samples=5)}, {"infer", "eval", "memory"}),
        ({"protocol": Protocol(warmup_seconds=0.1)}, {"infer", "eval", "memory"}),
        ({"protocol": Protocol(eval_images=5)}, {"eval"}),
        ({"protocol": Protocol(train_steps=5)}, {"train"}),
        ({"protocol": Protocol(fvcore_seconds=5)}, NOBODY),
        ({"options": {"stacks": 2}}, NOBODY),
        ({"modes": {"amp": "float16"}, "mode": "amp"}, {"infer", "eval", "memory", "train", "accuracy"}),
        ({"round": 2}, NOBODY),
        ({"seed": 2}, NOBODY),
        ({"timeout": 2.0, "artefacts": "/x"}, NOBODY),
    ],
    ids=lambda value: str(sorted(value) if isinstance(value, set) else value),
)
def test_a_change_moves_its_families_and_no_other(changes: dict[str, Any], moved: set[str]) -> None:
    found = {
        family
        for phase in PHASES
        for family, before in prints(phase).items()
        if prints(phase, **changes)[family] != before
    }
    assert found == moved


def test_devices_of_one_kind_share_a_fingerprint() -> None:
    assert prints("infer", device="cuda:1") == prints("infer", device="cuda")


def test_a_fingerprint_names_the_field_that_differs() -> None:
    before, after = prints("infer")["infer"], prints("infer", protocol=Protocol(min_samples=5))["infer"]
    assert {field for field in before if before[field] != after[field]} == {"protocol.min_samples"}


@pytest.mark.parametrize("phase", PHASES)
def test_a_new_way_of_measuring_compares_with_nothing_older(phase: str, monkeypatch: pytest.MonkeyPatch) -> None:
    before = prints(phase)
    monkeypatch.setattr(module, "PROTOCOL", module.PROTOCOL + 1)
    assert all(prints(phase)[family] != fields for family, fields in before.items())


def test_a_new_way_of_scoring_compares_with_nothing_older(monkeypatch: pytest.MonkeyPatch) -> None:
    before = prints("accuracy")["accuracy"]
    monkeypatch.setattr(module, "SCORING", module.SCORING + 1)
    assert prints("accuracy")["accuracy"] != before


def test_flags_are_explained_in_words() -> None:
    assert all(sentence and not sentence.endswith(".") for sentence in FLAGS.values())


def test_a_line_of_a_run_says_what_it_is() -> None:
    assert b'"type":"run"' in encode(header())
    assert b'"type":"record"' in encode(record())
