"""Sample selectors."""

from gmmvi_ext.inference.sample_selectors.base import Proposal, SampleSelector
from gmmvi_ext.inference.sample_selectors.component_based import VipsSampleSelector

__all__ = ["Proposal", "SampleSelector", "VipsSampleSelector"]
