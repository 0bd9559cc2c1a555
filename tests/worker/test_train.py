"""The training and evaluation loops."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from jobs import RECIPE, tiny
from torch import Tensor, nn

from bench.errors import Failed
from bench.worker import train, weights
from bench.worker.modes import amp
from bench.worker.subject import Subject, load_dataset, prepare


def subject_for(**changes: Any) -> Subject:
    return prepare(tiny("train", **changes))


def recipe(**changes: Any) -> dict[str, Any]:
    return {"batch": 2, "recipe": RECIPE | changes}


def test_steps_lower_the_loss_on_the_same_batch() -> None:
    subject, step = train.start(subject_for(train=recipe(optimizer="adam", lr=1e-3)))
    batch = next(train.batches(subject, load_dataset(subject.job, "train")))
    losses = [float(step(batch).loss) for _ in range(8)]
    assert losses[-1] < 0.9 * losses[0]


def test_a_step_moves_every_parameter_that_gets_a_gradient() -> None:
    subject, step = train.start(subject_for())
    before = {name: parameter.detach().clone() for name, parameter in subject.model.named_parameters()}
    step(next(train.batches(subject, load_dataset(subject.job, "train"))))
    assert [name for name, p in subject.model.named_parameters() if torch.equal(before[name], p)] == []


def test_gradients_of_one_step_do_not_reach_the_next() -> None:
    subject, step = train.start(subject_for(train=recipe(optimizer="sgd", lr=0.0)))
    batch = next(train.batches(subject, load_dataset(subject.job, "train")))
    step(batch)
    first = {name: p.grad.clone() for name, p in subject.model.named_parameters() if p.grad is not None}
    step(batch)
    assert first
    for name, parameter in subject.model.named_parameters():
        assert parameter.grad is not None
        assert torch.allclose(parameter.grad, first[name], rtol=1e-3, atol=1e-9), name


def test_the_marks_of_a_step_are_in_order() -> None:
    subject, step = train.start(subject_for())
    done = step(next(train.batches(subject, load_dataset(subject.job, "train"))))
    assert done.begin < done.forward < done.backward < done.optimizer
    assert not done.loss.requires_grad


@pytest.mark.parametrize(
    ("name", "kind"), [("rmsprop", torch.optim.RMSprop), ("adam", torch.optim.Adam), ("sgd", torch.optim.SGD)]
)
def test_the_recipes_optimizer(name: str, kind: type) -> None:
    table = {"optimizer": name, "lr": 0.5, "momentum": 0.25, "weight_decay": 0.125}
    optimizer = train.make_optimizer(nn.Linear(1, 1), table)
    assert type(optimizer) is kind
    assert (optimizer.defaults["lr"], optimizer.defaults["weight_decay"]) == (0.5, 0.125)
    assert optimizer.defaults.get("momentum", 0.25) == 0.25


def test_frozen_parameters_are_not_optimised() -> None:
    model = nn.Sequential(nn.Linear(1, 1), nn.Linear(1, 1))
    model[0].requires_grad_(False)
    groups = train.make_optimizer(model, {}).param_groups
    assert sum(len(group["params"]) for group in groups) == 2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"optimizer": "lion"}, "recipe tiny: optimizer 'lion' is none of rmsprop, adam, sgd"),
        ({"loss": "hinge"}, "recipe tiny: loss 'hinge' is none of bce, cross_entropy, heatmap_bce, heatmap_mse"),
    ],
)
def test_an_unknown_part_of_a_recipe(changes: dict[str, str], message: str) -> None:
    with pytest.raises(Failed, match=message):
        train.start(subject_for(train=recipe(**changes)))


PEOPLE = {"use": "synthetic", "size": 32, "train": 8, "val": 6, "options": {}}


def segmenting(maps: int, **changes: Any) -> Subject:
    """Of a hourglass with so many maps at a quarter of the resolution."""
    options = {"stacks": 2, "features": 8, "depth": 1, "joints": maps}
    return subject_for(options=options, data=PEOPLE, train=recipe(optimizer="adam", lr=1e-2, **changes))


@pytest.mark.parametrize(("loss", "maps"), [("bce", 1), ("cross_entropy", 25), ("heatmap_bce", 16)])
def test_steps_lower_every_loss(loss: str, maps: int) -> None:
    subject, step = train.start(segmenting(maps, loss=loss, augment={"flip": 0.5, "rotate180": 0.2}))
    batch = next(train.batches(subject, load_dataset(subject.job, "train")))
    losses = [float(step(batch).loss) for _ in range(8)]
    assert losses[-1] < 0.9 * losses[0]


@pytest.mark.parametrize("kind", ["w1", "w2"])
def test_class_weights_are_those_of_the_training_labels(kind: str) -> None:
    subject, learner = train.start(segmenting(25, loss="cross_entropy", class_weights=kind, weighting="outer_raw"))
    dataset = load_dataset(subject.job, "train")
    batch = dataset.batch(range(8), subject.device)
    outputs = [torch.randn(8, 25, 32, 32)]
    pixels = torch.bincount(batch["part"].flatten().long(), minlength=25)
    weight = weights.KINDS[kind](pixels).float()
    losses = F.cross_entropy(outputs[0], batch["part"].long(), weight=weight, reduction="none")
    assert float(learner.loss_of(outputs, batch, learner.recipe)) == pytest.approx(float(losses.mean()), rel=1e-5)


def test_class_weights_of_another_loss_are_refused() -> None:
    with pytest.raises(Failed, match="recipe tiny: class_weights are of loss 'cross_entropy' alone"):
        train.start(segmenting(1, loss="bce", class_weights="w1"))


def test_data_without_labels_cannot_be_segmented() -> None:
    subject, step = train.start(subject_for(train=recipe(loss="cross_entropy")))
    batch = next(train.batches(subject, load_dataset(subject.job, "train")))
    with pytest.raises(Failed, match="cross_entropy: the data have no 'part'"):
        step(batch)


def joints_of(source: Iterator[train.Batch], batches: int) -> Tensor:
    return torch.cat([next(source)["joints"] for _ in range(batches)])


def rows(joints: Tensor) -> list[bytes]:
    return sorted(row.numpy().tobytes() for row in joints)


def test_an_epoch_visits_every_image_once_and_the_next_one_in_another_order() -> None:
    subject = subject_for(train={"batch": 4, "recipe": RECIPE})
    dataset = load_dataset(subject.job, "train")
    source = train.batches(subject, dataset)
    first, second = joints_of(source, 2), joints_of(source, 2)
    everything = dataset.batch(range(8), subject.device)["joints"]
    assert rows(first) == rows(second) == rows(everything)
    assert not torch.equal(first, second)
    assert not torch.equal(first, everything)


def test_a_batch_over_the_end_of_an_epoch_is_full() -> None:
    subject = subject_for(train={"batch": 3, "recipe": RECIPE})
    source = train.batches(subject, load_dataset(subject.job, "train"))
    assert [len(next(source)["joints"]) for _ in range(6)] == [3] * 6


def test_a_batch_depends_on_seed_and_number_alone() -> None:
    augmented = {"batch": 3, "recipe": RECIPE | {"augment": {"scale": 0.25, "rotate": 30.0, "flip": 0.5, "gain": 0.2}}}
    subject = subject_for(train=augmented)
    dataset = load_dataset(subject.job, "train")
    whole = list(islice(train.batches(subject, dataset), 5))
    later = list(islice(train.batches(subject, dataset, 3), 2))
    for one, other in zip(whole[3:], later, strict=True):
        assert all(torch.equal(one[name], other[name]) for name in one)
    other_seed = next(train.batches(subject_for(train=augmented, seed=1), dataset))
    assert not torch.equal(other_seed["joints"], whole[0]["joints"])


def test_batches_are_augmented_as_the_recipe_says() -> None:
    plain, flipped = (
        next(train.batches(subject, load_dataset(subject.job, "train")))
        for subject in (subject_for(), subject_for(train=recipe(augment={"flip": 1.0})))
    )
    assert torch.equal(flipped["image"], plain["image"].flip(-1))


@pytest.mark.parametrize(("images", "batch", "steps"), [(8, 2, 4), (9, 2, 4), (1, 20, 1), (22246, 20, 1112)])
def test_steps_of_an_epoch(images: int, batch: int, steps: int) -> None:
    subject = subject_for(data={"use": "random", "size": 32, "train": images}, train={"batch": batch, "recipe": RECIPE})
    assert train.steps_per_epoch(subject) == steps


def test_evaluation_sees_every_image_once() -> None:
    subject = prepare(tiny("infer", infer={"batch": 4}))
    shapes: list[tuple[int, ...]] = []
    joints: list[Tensor] = []

    def take(outputs: list[Tensor], batch: dict[str, Tensor]) -> None:
        shapes.append(tuple(outputs[-1].shape))
        joints.append(batch["joints"])

    with torch.inference_mode():
        seconds = list(train.evaluate(subject, take, 100, 4))
    assert shapes == [(4, 16, 8, 8), (2, 16, 8, 8)]
    assert len(seconds) == 2
    assert all(second > 0 for second in seconds)
    assert torch.equal(torch.cat(joints), load_dataset(subject.job, "val").batch(range(6), subject.device)["joints"])


def test_evaluation_stops_after_the_images_asked_for() -> None:
    subject = prepare(tiny("infer"))
    with torch.inference_mode():
        assert len(list(train.evaluate(subject, lambda *_: None, 3, 2))) == 2


def test_warm_up_goes_on_until_the_loss_scaler_leaves_no_step_out() -> None:
    subject = replace(subject_for(), scale_loss=True)
    scales = iter([2.0**15, 2.0**14, 2.0**14, 2.0**14])
    taken: list[int] = []

    def step(_: train.Batch) -> train.Step:
        taken.append(1)
        scale = next(scales)
        return train.Step(0, 0, 0, 0, torch.tensor(1.0), lambda: scale)

    train.settle(subject, step, iter([{}] * 9))
    assert len(taken) == 3  # two were left out, the third was not


def test_gradients_that_always_overflow_are_a_failure() -> None:
    subject = replace(subject_for(), scale_loss=True)
    scale = [2.0**16]

    def step(_: train.Batch) -> train.Step:
        scale[0] /= 2
        now = scale[0]
        return train.Step(0, 0, 0, 0, torch.tensor(1.0), lambda: now)

    with pytest.raises(Failed, match="the gradients still overflow"):
        train.settle(subject, step, iter([{}] * 99))


def test_float16_training_settles_on_the_real_thing() -> None:
    subject, step = train.start(amp.apply(prepare(tiny("train")), "float16"))
    source = train.batches(subject, load_dataset(subject.job, "train"))
    train.settle(subject, step, source)
    first, second = step(next(source)), step(next(source))
    assert second.scale() >= first.scale()
