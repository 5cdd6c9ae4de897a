"""Sample selectors."""

from gmmvi_ext.inference.sample_selectors.base import (
    Proposal,
    ReusingSampleSelector,
    SampleSelector,
)
from gmmvi_ext.inference.sample_selectors.component_based import VipsSampleSelector
from gmmvi_ext.inference.sample_selectors.fixed_count import FixedCountSampleSelector
from gmmvi_ext.inference.sample_selectors.mixture_based import LinSampleSelector

__all__ = [
    "FixedCountSampleSelector",
    "LinSampleSelector",
    "Proposal",
    "ReusingSampleSelector",
    "SampleSelector",
    "VipsSampleSelector",
]
