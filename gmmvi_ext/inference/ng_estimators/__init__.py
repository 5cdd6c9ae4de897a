"""Natural-gradient estimators."""

from gmmvi_ext.inference.ng_estimators.base import NgEstimator
from gmmvi_ext.inference.ng_estimators.more import MoreNgEstimator
from gmmvi_ext.inference.ng_estimators.stein import SteinNgEstimator

__all__ = ["MoreNgEstimator", "NgEstimator", "SteinNgEstimator"]
