"""The benchmark targets; importing this room registers their builders."""

from gmmvi_ext.targets.benchmarks.breast_cancer import breast_cancer, breast_cancer_minibatch
from gmmvi_ext.targets.benchmarks.elliptical import GaussianMixture, StudentTMixture
from gmmvi_ext.targets.benchmarks.german_credit import german_credit, german_credit_minibatch
from gmmvi_ext.targets.benchmarks.gmm import random_gmm
from gmmvi_ext.targets.benchmarks.logistic_regression import (
    LogisticRegression,
    MinibatchLogisticRegression,
)

__all__ = [
    "GaussianMixture",
    "LogisticRegression",
    "MinibatchLogisticRegression",
    "StudentTMixture",
    "breast_cancer",
    "breast_cancer_minibatch",
    "german_credit",
    "german_credit_minibatch",
    "random_gmm",
]
