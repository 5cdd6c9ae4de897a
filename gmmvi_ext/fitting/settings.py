"""Settings of a fit that nobody wrote down: sample sizes, components, when to stop.

They are a configuration like any other: everything can be given to `fit` under its own key.
"""

from collections.abc import Mapping

from gmmvi_ext.config import load_config
from gmmvi_ext.config.codewords import expand_code_word
from gmmvi_ext.config.config import Config
from gmmvi_ext.config.errors import Origin

__all__ = [
    "DEFAULT_MAX_COMPONENTS",
    "FIRST_ORDER",
    "ZERO_ORDER",
    "asked_start",
    "make_config",
    "wants_gradient",
]

FIRST_ORDER = "SAMTRON"
ZERO_ORDER = "ZAMTRON"
DEFAULT_MAX_COMPONENTS = 60
ADD_ITERS = 10
# Near what is covered first: the start has looked for modes, what is missing are shapes and tails.
THRESHOLDS = (10.0, 50.0, 5.0, 200.0, 20.0)
# Every second newcomer starts at a draw of the missing mass: in funnels the scores see the neck.
RESIDUAL_ADD_ITERS = 2 * ADD_ITERS
NUM_ITERATIONS = 3000


def make_config(
    *,
    num_dimensions: int,
    has_gradient: bool,
    algorithm,
    seed: int,
    dtype: str,
    max_components: int | None,
    overrides: Mapping,
) -> Config:
    """The configuration that the arguments of `fit` amount to, checked.

    Raises:
      ConfigError: an unknown key or a value out of range, as `fit(key=...)`.
      ValueError: `algorithm` is neither "auto", a code word nor a dict of roles.
    """
    word = FIRST_ORDER if has_gradient else ZERO_ORDER
    roles: Mapping = {}
    if isinstance(algorithm, Mapping):
        roles = algorithm
    elif isinstance(algorithm, str):
        word = word if algorithm == "auto" else algorithm
        expand_code_word(word)
    else:
        raise ValueError(
            "`algorithm` must be 'auto', a code word such as 'SAMTRON', or a dict of roles, got "
            f"{algorithm!r}."
        )
    # Settings belong to a rule: those of one that was not chosen are dropped.
    tree = {f"{role}_type": name for role, name in expand_code_word(word).items()}
    defaults = _defaults(num_dimensions, tree["ng_estimator_type"], max_components)
    tree |= {key: value for key, value in defaults.items() if _belongs(key, tree)}
    tree |= {"seed": int(seed), "dtype": dtype}
    given = [
        (key, value, Origin(f"fit({key}=...)")) for key, value in [*_flat(roles), *_flat(overrides)]
    ]
    if max_components is not None and tree["num_component_adapter_type"] == "adaptive":
        key = "num_component_adapter_config.max_components"
        given.append((key, int(max_components), Origin("fit(max_components=...)")))
    return load_config(tree, overrides=given, needs_target=False)


def _defaults(dim: int, estimator: str, max_components: int | None) -> dict:
    if estimator == "MORE":
        # A quadratic model has (D + 1)(D + 2) / 2 coefficients.
        samples = max(100, (dim + 1) * (dim + 2))
    else:
        samples = int(min(max(60, 4 * dim), 400))
    return {
        "sample_selector_config": {"desired_samples_per_component": samples},
        "num_component_adapter_config": {
            "max_components": max_components or DEFAULT_MAX_COMPONENTS,
            "add_iters": ADD_ITERS,
            "del_iters": 60,
            "thresholds_for_add_heuristic": list(THRESHOLDS),
            "residual_add_iters": RESIDUAL_ADD_ITERS,
        },
        "training": {
            "num_iterations": NUM_ITERATIONS,
            "log_interval": 1,
            "stop_when_converged": True,
            "convergence_window": 2 * ADD_ITERS * len(THRESHOLDS),
            "convergence_tolerance": 0.01,
        },
    }


def _belongs(key: str, tree: Mapping) -> bool:
    if key == "num_component_adapter_config":
        return tree["num_component_adapter_type"] == "adaptive"
    return True


def _flat(values: Mapping):
    """(dotted key, value) of every setting, so that sections merge instead of replacing."""
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from ((f"{key}.{name}", inner) for name, inner in _flat(value))
        else:
            yield str(key), value


def wants_gradient(algorithm) -> bool:
    """Whether the algorithm that `fit` was given, a code word or roles, is of first order."""
    if isinstance(algorithm, Mapping):
        return algorithm.get("ng_estimator_type", "Stein") != "MORE"
    return algorithm == "auto" or "Z" not in str(algorithm).upper()


def asked_start(algorithm, overrides: Mapping) -> dict:
    """Mean and scale of the prior if the user wrote them."""
    sections = [overrides.get("model_initialization")]
    if isinstance(algorithm, Mapping):
        sections.append(algorithm.get("model_initialization"))
    found = {}
    for section in sections:
        if isinstance(section, Mapping):
            names = (("mean", "prior_mean"), ("scale", "prior_scale"))
            found |= {short: section[name] for short, name in names if name in section}
    return found
