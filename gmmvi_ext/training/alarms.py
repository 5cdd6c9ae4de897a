"""What a check of the state of an algorithm can find, and what to do about it."""

from typing import NamedTuple

__all__ = ["SCALE_ADVICE", "Alarm"]

SCALE_ADVICE = (
    "a step left the range of the numbers: the target may be improper, or its scale out of range. "
    "Rescale the parameters to a spread of about one, or try dtype: float64, a smaller "
    "initial_stepsize, or a closer model_initialization"
)
VALUE_ADVICE = (
    "the target gives no usable value where the mixture lies; look at it there (overflow, domain, "
    "constraints), or start elsewhere (model_initialization.prior_mean, prior_scale)"
)
ADVICE = {
    "stepsize": "set initial_stepsize, or take fixed stepsizes",
    "weight": "rewards lie too far apart for the weights: try dtype: float64 or a smaller "
    "weight_stepsize_adapter_config.initial_stepsize",
    "reward": VALUE_ADVICE,
    "target value": VALUE_ADVICE,
    "ELBO": VALUE_ADVICE,
}


class Alarm(NamedTuple):
    """What is not finite.

    Attributes:
      quantity: "loc", "scale_tril", "weight", "stepsize", "reward", "target value", "ELBO", ...
      component: slot of the first component concerned; None if it is none in particular.
      component_id: its identity over the run, None where it has none.
      others: names of further quantities that are not finite.
    """

    quantity: str
    component: int | None = None
    component_id: int | None = None
    others: tuple[str, ...] = ()

    def __str__(self) -> str:
        whole = {"reward": "the reward of every component", "ELBO": "the ELBO"}
        if self.component is None:
            return whole.get(self.quantity, f"every {self.quantity}")
        text = f"{self.quantity} of component {self.component}"
        if self.component_id not in (None, self.component):
            text += f" (id {self.component_id})"
        return text + (f" (and {', '.join(self.others)})" if self.others else "")

    @property
    def advice(self) -> str:
        """What to do."""
        return ADVICE.get(self.quantity, SCALE_ADVICE)
