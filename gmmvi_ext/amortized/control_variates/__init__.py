"""Control variates: what is subtracted from, or divides, the reward of a score function.

Order in a chain: centre, baseline, scale. All but `scaled` leave the mean of the gradient alone.
"""

from gmmvi_ext.amortized.control_variates.base import ControlVariate, RewardContext
from gmmvi_ext.amortized.control_variates.baseline import Baseline
from gmmvi_ext.amortized.control_variates.centred import Centred
from gmmvi_ext.amortized.control_variates.chain import Chain
from gmmvi_ext.amortized.control_variates.leave_one_out import LeaveOneOut, leave_one_out
from gmmvi_ext.amortized.control_variates.scaled import Scaled
from gmmvi_ext.amortized.control_variates.self_critic import SelfCritic

__all__ = [
    "Baseline",
    "Centred",
    "Chain",
    "ControlVariate",
    "LeaveOneOut",
    "RewardContext",
    "Scaled",
    "SelfCritic",
    "leave_one_out",
]
