"""Accuracy: trains to the end of the budget, scores the last weights in strict fp32, then in every other mode."""

import io
from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from dataclasses import replace
from types import ModuleType
from typing import Any

import msgspec
import numpy as np
import torch
from torch import Tensor, nn

from bench import plugins
from bench.errors import Failed, Unavailable, first_line
from bench.record import Job, Quantity, Value
from bench.worker import checkpoint, fit, train
from bench.worker.apply import apply_modes, compiles, prove_modes
from bench.worker.augment import mirror_back
from bench.worker.compiling import described
from bench.worker.graph import NOT_HERE
from bench.worker.subject import Subject, evaluating, load_dataset, without_grad

PHASE = "accuracy"

CURVE_IMAGES = 256
"""Validation images that score the network on its way; the end is scored on all of them."""

CLEARLY = 5.0
"""Points by which the whole interval of the gain over the best answer without the image must lie above it."""

SETTLED_SHARE, SETTLED_POINTS = 0.8, 1.0
"""Converged: the last score is within so many points, up or down, of the best up to this share of the training."""

FEWEST_VALIDATIONS = 5

FALLEN_SHARE, FALLEN_BY = 0.1, 0.01
"""The mean loss of this last share of the training must be so much (relative) below that of the first."""

HARM = 0.5
"""Points that a mode may cost on the trained weights; more, with an interval below zero, is a mismatch."""

EXAMPLES = 8
"""Scored images that are kept with their predictions, to be looked at."""

LOSS_TRAIN = Quantity(name="loss.train", unit="1", better="lower", title="training loss", headline=False)
LOSS_TEST = Quantity(name="loss.test", unit="1", better="lower", title="validation loss", headline=False)
CONVERGED = Quantity(name="converged", unit="1", better="higher", title="converged (1) or not (0)", headline=False)
PICTURES = Quantity(
    name="examples", unit="1", better="none", title="images kept with their predictions", headline=False
)

Shown = Sequence[float]


def measure(subject: Subject) -> Iterator[Value]:
    """Train, then yield the curves, the scores and the answers of every mode on the trained weights.

    Raises:
        Failed: the loss is not finite or did not fall, or there is nothing to score.
    """
    module = plugins.load("metric", subject.job.metrics[0])
    subject, learner = train.start(subject)
    course = fit.fit(subject, learner, lambda: validate(subject, learner, module))
    # Weights that were given may be trained already.
    problem = course.broken or ("" if subject.job.weights_hash else not_fallen(course.loss.values))
    yield of_curve(LOSS_TRAIN, course.loss, problem)
    yield of_curve(LOSS_TEST, course.test, problem)
    if problem:
        raise Failed(problem)
    metrics = scored_under(subject, {}, module)
    blind = unseeing(subject, module)
    for value in scores(module, metrics, [*blind.values()][-1], course):
        began = f", trained on from weights {subject.job.weights_hash[:8]}" if subject.job.weights_hash else ""
        yield msgspec.structs.replace(value, how=value.how + began)
    for quantity, metric in blind.items():
        yield msgspec.structs.replace(headline_of(module, metric), quantity=quantity, details={})
    yield from by_stack(module, metrics[:-1])
    yield from milestones(subject.job, module, course)
    for name, modes in subject.job.checks.items():
        yield from check(subject, name, modes, metrics[-1])
    yield from examples(subject, metrics)


def validate(subject: Subject, learner: train.Learner, module: ModuleType) -> tuple[float, float]:
    """(loss, score) on the first validation images, in the mode that trains."""
    metric, losses = module.Metric(), []

    def take(outputs: list[Tensor], batch: train.Batch) -> None:
        metric.update(outputs[-1], batch)
        losses.append(learner.loss_of(outputs, batch, learner.recipe) * len(batch["image"]))

    images = min(CURVE_IMAGES, images_of(subject, "val"))
    with evaluating(subject.model), without_grad(subject.job):
        each(subject, take, images, "val")
    headline = headline_of(module, metric)
    if headline.value is None:
        raise Failed(headline.reason)
    return float(torch.stack(losses).sum()) / images, float(headline.value)


def split_of(job: Job) -> str:
    """What the trained network is scored on: `val`, as on its way, or `test`."""
    return str(job.train.get("split", "val"))


def images_of(subject: Subject, split: str) -> int:
    """Images that differ: a set of files may repeat them, which would make every interval too narrow."""
    dataset = load_dataset(subject.job, split)
    return min(len(dataset), getattr(dataset, "distinct", len(dataset)))


def each(subject: Subject, take: Callable[[list[Tensor], train.Batch], None], images: int, split: str) -> None:
    """Show `take` the outputs for so many images of a split."""
    for _ in train.evaluate(subject, take, images, int(subject.job.train.get("batch", 1)), split=split):
        pass


def not_fallen(losses: Shown) -> str:
    """Why a loss curve is not that of a training; empty where it is."""
    count = max(1, round(FALLEN_SHARE * len(losses)))
    first, last = (sum(part) / count for part in (losses[:count], losses[-count:]))
    if len(losses) < 2 or last < (1 - FALLEN_BY) * first:
        return ""
    return f"the loss did not fall: {first:.4g} in the first tenth of the training, {last:.4g} in the last"


def of_curve(quantity: Quantity, curve: fit.Curve, problem: str) -> Value:
    """The last point of a curve, with all of it; a reason instead of the number where the training failed."""
    details = {"curve": msgspec.to_builtins(curve)}
    if problem or not curve.values:
        return Value(quantity=quantity, reason=problem or "nothing was validated", details=details)
    return Value(quantity=quantity, value=curve.values[-1], details=details, how="the last point of the curve")


def answering(subject: Subject, modes: dict[str, Any]) -> Subject:
    """The trained network in eval mode under these modes, a copy; no modes: strict fp32 eager.

    Raises:
        Unavailable: a mode cannot run here.
        Failed: a mode was not applied.
    """
    model = channels_first(deepcopy(subject.model)).eval()
    job = msgspec.structs.replace(subject.job, modes=modes)
    base = Subject(job=job, model=model, call=model, device=subject.device, clock=subject.clock, inputs=())
    changed = apply_modes(base.with_inputs(subject.inputs))
    prove_modes(changed)
    return flip_tested(changed) if job.train.get("flip_test") else changed


def channels_first(model: nn.Module) -> nn.Module:
    """The network with its weights in torch's usual memory order, whatever the training left them in."""
    for tensor in (*model.parameters(), *model.buffers()):
        tensor.data = tensor.data.contiguous()
    return model


def flip_tested(subject: Subject) -> Subject:
    """Answers with the mean of the maps of an image and of its mirror image, mirrored back; no shift by a cell."""

    def call(image: Tensor) -> list[Tensor]:
        # Copied, since a mode may answer in the same memory again.
        kept = [seen.clone() for seen in subject.forward(image)]
        pairs = zip(kept, subject.forward(image.flip(-1)), strict=True)
        return [(seen + mirror_back(mirrored)) / 2 for seen, mirrored in pairs]

    return replace(subject, call=call)


def scored_under(subject: Subject, modes: dict[str, Any], module: ModuleType) -> list[Any]:
    """A metric for each output of the trained network under these modes.

    Precision switches are of the whole process: strict before the modes set theirs, and put back after, since the
    training's own mode and the one that was scored before have set them too.
    """
    cudnn: Any = torch.backends.cudnn  # its parts are not annotated
    backends = (torch.backends.cuda.matmul, cudnn.conv, cudnn.rnn)
    before = [backend.fp32_precision for backend in backends]
    try:
        for backend in backends:
            backend.fp32_precision = "ieee"
        return scored(answering(subject, modes), module)
    finally:
        for backend, precision in zip(backends, before, strict=True):
            backend.fp32_precision = precision


def scored(subject: Subject, module: ModuleType) -> list[Any]:
    """A metric for each output of the network, the last is the prediction's."""
    metrics: list[Any] = []

    def take(outputs: list[Tensor], batch: train.Batch) -> None:
        metrics.extend(module.Metric() for _ in range(len(outputs) - len(metrics)))
        for metric, output in zip(metrics, outputs, strict=True):
            metric.update(output, batch)

    split = split_of(subject.job)
    with without_grad(subject.job):
        each(subject, take, images_of(subject, split), split)
    if not metrics:
        raise Failed("no validation images: data.val must be at least 1")
    return metrics


def unseeing(subject: Subject, module: ModuleType) -> dict[Quantity, Any]:
    """What predictors score that give every image the same answer; the last one is the best of them."""
    answers = module.blind(subject)
    metrics = {quantity: module.Metric() for quantity in answers}
    split = split_of(subject.job)
    dataset, total = load_dataset(subject.job, split), images_of(subject, split)
    size = int(subject.job.train.get("batch", 1))
    for first in range(0, total, size):
        batch = dataset.batch(range(first, min(first + size, total)), subject.device)
        for quantity, answer in answers.items():
            metrics[quantity].update(answer.expand(len(batch["image"]), *answer.shape), batch)
    return metrics


def headline_of(module: ModuleType, metric: Any) -> Value:
    """The value that a metric is known by."""
    value: Value = next(value for value in metric.compute() if value.quantity.name == module.HEADLINE)
    return value


def scores(module: ModuleType, metrics: list[Any], blind: Any, course: fit.Course) -> Iterator[Value]:
    """What the metric says of the prediction, flagged where that is not clearly more than without the image."""
    gain, low, _ = module.change(metrics[-1], blind)
    flags = [] if low > CLEARLY else ["not_learnt"]
    flags += unsettled(late_gain(course.score))
    for value in metrics[-1].compute():
        details = value.details
        if value.quantity.name == module.HEADLINE:
            details = details | {"curve": msgspec.to_builtins(course.score), "gain": gain, "gain_low": low}
        yield msgspec.structs.replace(value, flags=flags if value.value is not None else [], details=details)


def by_stack(module: ModuleType, metrics: Sequence[Any]) -> Iterator[Value]:
    """What every stack before the last would have scored."""
    for number, metric in enumerate(metrics, 1):
        for value in metric.compute():
            if value.quantity.name in module.BY_STACK:
                name, title = value.quantity.name, value.quantity.title
                quantity = msgspec.structs.replace(
                    value.quantity, name=f"{name}.stack{number}", title=f"{title} after stack {number}", headline=False
                )
                yield msgspec.structs.replace(value, quantity=quantity, details={})


def late_gain(score: fit.Curve) -> float | None:
    """Points from the best score up to SETTLED_SHARE to the last; None where it was scored too rarely to tell."""
    if len(score.values) < FEWEST_VALIDATIONS:
        return None
    end = SETTLED_SHARE * score.images[-1]
    before = [value for images, value in zip(score.images, score.values, strict=True) if images <= end]
    return score.values[-1] - max(before)


def unsettled(gain: float | None) -> list[str]:
    """The flag of a training that had not converged: whether its score still rose, or had been higher."""
    if gain is None or abs(gain) <= SETTLED_POINTS:
        return []
    return ["unconverged" if gain > 0 else "worsened"]


def milestones(job: Job, module: ModuleType, course: fit.Course) -> Iterator[Value]:
    """Whether it converged, and after how many epochs the score reached the metric's thresholds."""
    gain = late_gain(course.score)
    if gain is None:
        yield Value(quantity=CONVERGED, reason=f"fewer than {FEWEST_VALIDATIONS} validations")
    else:
        how = f"{gain:+.1f} points since the best of the first {SETTLED_SHARE:.0%} of the training"
        yield Value(
            quantity=CONVERGED, value=int(not unsettled(gain)), how=f"{how}; at most {SETTLED_POINTS:g} is converged"
        )
    images = int(job.data.get("train") or 1)
    for threshold in module.THRESHOLDS:
        title = f"epochs until {module.HEADLINE} reaches {threshold:g}"
        quantity = Quantity(name=f"epochs_to_{threshold:g}", unit="1", better="lower", title=title, headline=False)
        reached = crossing(course.score, threshold)
        if reached is None:
            best = max(course.score.values, default=0.0)
            reason = f"not reached: {best:.1f} at best in {course.score.images[-1] / images:.2g} epochs"
            yield Value(quantity=quantity, reason=reason)
        else:
            how = f"epochs of {images} images, linear between validations"
            yield Value(quantity=quantity, value=reached / images, how=how)


def crossing(score: fit.Curve, threshold: float) -> float | None:
    """Images after which a curve first reaches a value, linear between its points; None where it never does."""
    before_images, before = 0, 0.0
    for images, value in zip(score.images, score.values, strict=True):
        if value >= threshold:
            share = (threshold - before) / (value - before) if value > before else 1.0
            return before_images + share * (images - before_images)
        before_images, before = images, value
    return None


def check(subject: Subject, name: str, modes: dict[str, Any], reference: Any) -> Iterator[Value]:
    """How a mode's answers on the trained weights differ from strict fp32: what moved, and what that costs."""
    module = plugins.load("metric", subject.job.metrics[0])
    shift = msgspec.structs.replace(
        module.MOVED, name=f"{module.MOVED.name}.{name}", title=module.MOVED.title.replace("the mode", name)
    )
    change = Quantity(
        name=f"{module.HEADLINE.partition('.')[0]}_change.{name}",
        unit="%",
        better="higher",
        title=f"{module.HEADLINE}, {name} against fp32",
    )
    try:
        other = scored_under(subject, modes, module)[-1]
    except Unavailable as reason:
        yield from (Value(quantity=quantity, reason=str(reason)) for quantity in (shift, change))
        return
    except (Failed, NameError, *NOT_HERE) as error:  # of one mode: neither the training nor the others' checks are lost
        flags = ["mismatch"] if isinstance(error, Failed) else []
        why = first_line(error) if isinstance(error, Failed) or not compiles(modes) else described(error)
        yield from (Value(quantity=quantity, reason=why, flags=flags) for quantity in (shift, change))
        return
    yield msgspec.structs.replace(module.moved(other, reference), quantity=shift)
    value, low, high = module.change(other, reference)
    harmed = high < 0 and value < -HARM
    how = f"mismatch: {value:+.2f} points" if harmed else "paired bootstrap over images"
    flags = ["mismatch"] if harmed else []
    yield Value(quantity=change, value=value, low=low, high=high, how=how, flags=flags)


def examples(subject: Subject, metrics: list[Any]) -> Iterator[Value]:
    """Keep the first scored images with the truth and what every stack predicts, where the job has a folder.

    Yields:
        Why they are not kept, where they are not: pictures cost no score.
    """
    path = checkpoint.file(subject.job, "examples.npz")
    if path is None:
        return
    try:
        checkpoint.put(pictured(subject, metrics), path)
    except Failed as error:
        yield Value(quantity=PICTURES, reason=str(error).partition("; ")[0])


def pictured(subject: Subject, metrics: list[Any]) -> bytes:
    """A file of arrays: images, the truth, and predictions stacks x images x ..."""
    module = plugins.load("metric", subject.job.metrics[0])
    split = split_of(subject.job)
    images = range(min(EXAMPLES, images_of(subject, split)))
    batch = load_dataset(subject.job, split).batch(images, torch.device("cpu"))
    kept = {"image": batch["image"].permute(0, 2, 3, 1).numpy(), **module.pictured(metrics, batch)}
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **kept)
    return buffer.getvalue()
