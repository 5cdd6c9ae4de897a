"""Control variates: what is subtracted from, or divides, the reward of a score function.

Order in a chain: center, baseline, scale. All but `scaled` leave the mean of the gradient alone.
"""

from gmmvi_ext.amortized.control_variates.base import ControlVariate, RewardContext
from gmmvi_ext.amortized.control_variates.baseline import Baseline
from gmmvi_ext.amortized.control_variates.centered import Centered
from gmmvi_ext.amortized.control_variates.chain import Chain
from gmmvi_ext.amortized.control_variates.leave_one_out import LeaveOneOut, leave_one_out
from gmmvi_ext.amortized.control_variates.scaled import Scaled
from gmmvi_ext.amortized.control_variates.self_critic import SelfCritic
from gmmvi_ext.lazy import former_names

__all__ = [
    "Baseline",
    "Centered",
    "Chain",
    "ControlVariate",
    "LeaveOneOut",
    "RewardContext",
    "Scaled",
    "SelfCritic",
    "leave_one_out",
]

__getattr__ = former_names(__name__, {"Centred": "Centered"})
