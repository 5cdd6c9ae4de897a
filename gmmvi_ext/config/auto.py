"""`algorithm: auto`: rules, sample sizes, stages and limits that suit a posterior nobody has seen.

They are a layer of the configuration like any other, below everything that a file or a call of
`fit` says. What depends on the target is filled in once the target is known.
"""

from gmmvi_ext.config.codewords import AUTO, expand_code_word

__all__ = ["MAX_COMPONENTS_KEY", "auto_values"]

MAX_COMPONENTS_KEY = "num_component_adapter_config.max_components"
FIRST_ORDER = "SAMTRON"
ZERO_ORDER = "ZAMTRON"
MAX_COMPONENTS = 60
EXTRA_COMPONENTS = 12  # that exploration may add to the default number; a given one is kept to
# Few components fit badly whatever is spent on them: one joins every five iterations, and reused
# samples pay for it. Curved posteriors come as far in half of the iterations of ten, with a
# quarter fewer evaluations.
ADD_ITERS = 5
REUSE_RATIO = 4.0
# Small steps average the noise of minibatches over iterations.
NOISY_STEPSIZE = 0.03
# Near what is covered first: the start has looked for modes, what is missing are shapes and tails.
THRESHOLDS = (10.0, 50.0, 5.0, 200.0, 20.0)
# Every second new component starts at a draw of the missing mass: in funnels the scores see the
# neck.
RESIDUAL_ADD_ITERS = 2 * ADD_ITERS
CONVERGENCE_WINDOW = 60  # iterations
NUM_ITERATIONS = 3000
CHECKPOINT_INTERVAL = 100


def auto_values(
    word: str = AUTO,
    *,
    num_dimensions: int | None = None,
    has_gradient: bool = True,
    is_stochastic: bool = False,
    max_components: int | None = None,
) -> dict:
    """Values of `algorithm: auto`, with the keys of a configuration.

    Args:
      word: code word of other rules, with the sample sizes and stages of these.
      num_dimensions: of the target; None while it is not known, which leaves sample sizes out.
      has_gradient, is_stochastic: of the target.
      max_components: where the user has said how many.
    """
    if word == AUTO:
        word = FIRST_ORDER if has_gradient else ZERO_ORDER
    values: dict = {f"{role}_type": name for role, name in expand_code_word(word).items()}
    if num_dimensions is None:
        samples = None
    elif values["ng_estimator_type"] == "MORE":
        # A quadratic model has (D + 1)(D + 2) / 2 coefficients.
        samples = max(100, (num_dimensions + 1) * (num_dimensions + 2))
    else:
        samples = int(min(max(60, 4 * num_dimensions), 400))
    if samples is not None:
        values["sample_selector_config"] = {"desired_samples_per_component": samples}
        reuses = values["sample_selector_type"] == "component-based" and not is_stochastic
        if reuses and values["ng_estimator_type"] == "Stein":
            values["sample_selector_config"]["ratio_reused_samples_to_desired"] = REUSE_RATIO
    if values["num_component_adapter_type"] == "adaptive":
        values["num_component_adapter_config"] = {
            "max_components": max_components or MAX_COMPONENTS,
            "add_iters": ADD_ITERS,
            "del_iters": 60,
            "thresholds_for_add_heuristic": list(THRESHOLDS),
            "residual_add_iters": RESIDUAL_ADD_ITERS,
        }
    if is_stochastic and values["component_stepsize_adapter_type"] == "improvement-based":
        values["component_stepsize_adapter_config"] = dict.fromkeys(
            ("initial_stepsize", "max_stepsize"), NOISY_STEPSIZE
        )
    return values | {
        "model_initialization": {"prior_mean": None, "prior_scale": None},
        "start": {"mode": "auto"},
        "importance_check": {"mode": "auto"},
        "coordinates": {"mode": "auto"},
        "explore": {
            "mode": "auto",
            "max_components": max_components or MAX_COMPONENTS + EXTRA_COMPONENTS,
        },
        "component_weights": {"mode": "auto"},
        "training": {
            "num_iterations": NUM_ITERATIONS,
            "checkpoint_interval": CHECKPOINT_INTERVAL,
            "stop_when_converged": True,
            "stop_rule": "blocks",
            "keep_best": True,
            "convergence_window": CONVERGENCE_WINDOW,
            "convergence_tolerance": 0.01,
        },
    }
