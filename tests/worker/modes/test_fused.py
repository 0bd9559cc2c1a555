"""The optimizer's implementation: chosen where it is made, proved by the operators of a step."""

from typing import Any

import msgspec
import pytest
import torch
from jobs import RECIPE, tiny
from torch import nn

from bench.errors import Unavailable
from bench.record import Job
from bench.worker import train
from bench.worker.modes import fused
from bench.worker.subject import Subject, load_dataset, prepare
from bench.worker.work import work

KINDS = ("rmsprop", "adam", "sgd")


def asked(kind: str, phase: str = "train") -> Job:
    recipe = RECIPE | {"optimizer": kind, "momentum": 0.5, "lr": 1e-3}
    return tiny(phase, modes={"fused": True}, train={"batch": 2, "recipe": recipe})


def started(kind: str) -> tuple[Subject, train.Learner]:
    return train.start(fused.apply(prepare(asked(kind)), True))


@pytest.mark.parametrize(("kind", "option"), [("rmsprop", "foreach"), ("adam", "fused"), ("sgd", "fused")])
def test_the_optimizer_is_made_with_the_argument_and_proved(kind: str, option: str) -> None:
    subject, learner = started(kind)
    assert learner.optimizer.defaults[option] is True
    assert fused.prove(subject) is None
    assert train.make_optimizer(subject.model, learner.recipe).defaults[option] is None


@pytest.mark.parametrize("kind", KINDS)
def test_the_weights_after_some_steps_are_the_plain_optimizers(kind: str) -> None:
    weights = []
    plain: dict[str, bool] = {}
    for modes in (plain, {"fused": True}):
        subject, step = train.start(prepare(msgspec.structs.replace(asked(kind), modes=modes)))
        batch = next(train.batches(subject, load_dataset(subject.job, "train")))
        subject.model.eval()  # batch statistics of so few values would enlarge rounding
        for _ in range(3):
            step(batch)
        weights.append(torch.cat([p.detach().flatten() for p in subject.model.parameters()]))
    assert torch.allclose(*weights, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_a_plain_optimizer_is_not_taken_for_it(kind: str) -> None:
    subject, learner = started(kind)
    learner.optimizer = train.make_optimizer(subject.model, learner.recipe)
    (name,) = fused.OPTIMIZER[kind]
    assert fused.prove(subject) == f"mode not applied ({type(learner.optimizer).__name__} has {name} = None)"


def test_an_argument_that_changes_nothing_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    subject, _ = started("adam")
    monkeypatch.setattr(fused, "operators", lambda _: {"_foreach_add_.Scalar", "addcdiv_.default"})
    assert fused.prove(subject) == "mode not applied (a step of Adam runs no fused operator)"


def test_the_proof_moves_no_weight_and_no_state() -> None:
    subject, learner = started("adam")
    before = [p.detach().clone() for p in subject.model.parameters()]
    fused.prove(subject)
    assert all(torch.equal(a, b) for a, b in zip(before, subject.model.parameters(), strict=True))
    assert not learner.optimizer.state


@pytest.mark.parametrize("kind", KINDS)
def test_the_operators_of_plain_steps(kind: str) -> None:
    """The CPU's default is a loop over the parameters: none of the two is run unasked."""
    names = fused.operators(train.make_optimizer(nn.Linear(2, 2), {"optimizer": kind}))
    assert names and not any(name.startswith(("_fused_", "_foreach_")) for name in names)


def test_before_a_training_to_the_end_the_optimizer_that_it_will_make_is_proved() -> None:
    subject = fused.apply(prepare(asked("sgd", "accuracy")), True)
    assert subject.step is None
    assert fused.prove(subject) is None


@pytest.mark.parametrize(
    ("kind", "phase", "reason"),
    [
        ("adam", "infer", "it trains only: inference has no optimizer"),
        ("lion", "train", "optimizer 'lion' has no fused"),
    ],
)
def test_where_it_cannot_be(kind: str, phase: str, reason: str) -> None:
    with pytest.raises(Unavailable, match=reason):
        fused.apply(prepare(asked(kind, phase)), True)


@pytest.mark.parametrize("others", [{}, {"channels_last": True, "amp": "bfloat16"}, {"amp": "float16"}], ids=str)
def test_a_training_job_with_other_modes(others: dict[str, Any]) -> None:
    job = asked("adam")
    record = work(tiny("train", "train_time", modes={"fused": True} | others, train=job.train))
    assert (record.status, record.reason) == ("ok", "")
