"""A recipe as it is written: how networks are trained, as a file of recipes/."""

from typing import Annotated, Any, Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator
from pydantic_core import PydanticCustomError

from bench.suite.schema import Count, Table

Share = Annotated[float, Field(ge=0, le=1)]


class Schedule(Table):
    """How the learning rate falls: times gamma at milestones, linearly from `start` on, or as (1 - t/T)^power."""

    kind: Literal["steps", "linear", "poly"] = "steps"
    milestones: list[Count] = Field(default=[], description="steps: epochs at which the rate falls.")
    shares: list[Share] = Field(default=[], description="steps: shares of the training at which it falls too.")
    gamma: Annotated[float, Field(gt=0)] = Field(default=0.1, description="steps: factor at each of them.")
    start: Share = Field(default=0.0, description="linear: share of the training after which the rate falls.")
    end: Share = Field(default=0.0, description="linear: share of the rate that is left at the end.")
    power: Annotated[float, Field(gt=0)] = Field(default=0.9, description="poly: of the share that is yet to come.")

    @model_validator(mode="after")
    def _of_its_kind(self) -> "Schedule":
        own = {"steps": ("milestones", "shares", "gamma"), "linear": ("start", "end"), "poly": ("power",)}[self.kind]
        other = sorted(self.model_fields_set.difference(own, ["kind"]))
        if other:
            message = "kind \"{kind}\" has no '{key}'; write {own}"
            written = ", ".join(own[:-2]) + ", " * bool(own[:-2]) + " and ".join(own[-2:])
            raise PydanticCustomError("schedule", message, {"kind": self.kind, "key": other[0], "own": written})
        return self


class Augment(Table):
    """Random changes of training images, on the device; nothing where the table is left out."""

    scale: Share = Field(default=0.0, description="Standard deviation of the crop's scale; cut off at one of it.")
    rotate: Annotated[float, Field(ge=0)] = Field(
        default=0.0, description="Standard deviation, degrees; cut off at two."
    )
    rotate_share: Share = Field(default=1.0, description="Share of the images that are rotated.")
    flip: Share = Field(default=0.0, description="Share of the images that are mirrored.")
    rotate180: Share = Field(default=0.0, description="Share that is turned upside down; left stays left.")
    gain: Share = Field(default=0.0, description="Each channel is multiplied by 1 - gain to 1 + gain.")


class Recipe(Table):
    """How a network is trained: a file of recipes/."""

    title: str = Field(examples=["RMSProp as in the paper"])
    source: str = ""
    optimizer: Literal["rmsprop", "adam", "sgd"] = Field(examples=["rmsprop"])
    lr: Annotated[float, Field(gt=0)] = Field(examples=[2.5e-4])
    momentum: Annotated[float, Field(ge=0)] = 0.0
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    warmup: Annotated[int, Field(ge=0)] = Field(default=0, description="Steps in which the rate rises to `lr`.")
    schedule: Schedule | None = None
    freeze_norm: Share | None = Field(
        default=None, description="Share of the training at whose beginning batch norms are frozen."
    )
    freeze_norm_steps: Count | None = Field(default=None, description="The same in steps.")
    augment: Augment | None = None
    loss: str = Field(examples=["heatmap_mse"])
    sigma: Annotated[float, Field(gt=0)] = Field(
        default=1.0, description="Of the target's Gaussian, in cells of the map."
    )
    positive: Annotated[float, Field(ge=0)] = Field(
        default=0.0, description="Cells of a heat map weigh 1 + positive x target in the loss."
    )
    head_weights: Annotated[list[Annotated[float, Field(ge=0)]], Field(min_length=1)] | None = Field(
        default=None, description="Factors of the outputs' losses, one for each; 1 where they are not given."
    )
    class_weights: Literal["w1", "w2"] | None = Field(
        default=None, description="cross_entropy: weights of rare classes, by the pixels of the training labels."
    )
    weighting: Literal["outer", "outer_raw", "direct"] | None = Field(
        default=None, description="How class_weights act: a weighted mean, a weighted sum per pixel, or on the logits."
    )
    joint_branch: bool = Field(
        default=False, description="bce, cross_entropy: the first output in training is joints' heat maps."
    )
    joint_weight: Annotated[float, Field(gt=0)] | None = Field(
        default=None, description="Factor of the joint branch's loss, which is heatmap_mse; 1 where it is not given."
    )

    @field_validator("freeze_norm_steps", "class_weights", "weighting", "joint_branch", "joint_weight")
    @classmethod
    def _of_use(cls, value: Any, info: ValidationInfo) -> Any:
        """A key that would change nothing, or that another one contradicts, is a mistake."""
        other, good, what = _NEEDS[str(info.field_name)]
        if value and other in info.data and info.data[other] not in good:
            raise PydanticCustomError("recipe", "{what}", {"what": what})
        return value


_NEEDS: dict[str, tuple[str, tuple[Any, ...], str]] = {
    "freeze_norm_steps": ("freeze_norm", (None,), "freeze_norm says it too; write one of them"),
    "class_weights": ("loss", ("cross_entropy",), 'no other loss has them; write loss = "cross_entropy"'),
    "weighting": ("class_weights", ("w1", "w2"), 'there are no weights; write class_weights = "w1" or "w2"'),
    "joint_branch": ("loss", ("bce", "cross_entropy"), 'no other loss has one; write "cross_entropy" or "bce"'),
    "joint_weight": ("joint_branch", (True,), "there is no joint branch; write joint_branch = true"),
}
"""Key -> the key before it that decides whether it is of use, that one's values then, and else what to write."""
