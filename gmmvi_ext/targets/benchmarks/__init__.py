"""The benchmark targets; importing this room registers their builders."""

from gmmvi_ext.targets.benchmarks.banana import Banana
from gmmvi_ext.targets.benchmarks.bayesian_network import (
    BayesianNetwork,
    ClassificationNetwork,
    RegressionNetwork,
)
from gmmvi_ext.targets.benchmarks.breast_cancer import breast_cancer, breast_cancer_minibatch
from gmmvi_ext.targets.benchmarks.diagonal_gmm import diagonal_gmm
from gmmvi_ext.targets.benchmarks.elliptical import (
    EllipticalMixture,
    GaussianMixture,
    StudentTMixture,
)
from gmmvi_ext.targets.benchmarks.funnel import Funnel
from gmmvi_ext.targets.benchmarks.gaussian import gaussian
from gmmvi_ext.targets.benchmarks.german_credit import german_credit, german_credit_minibatch
from gmmvi_ext.targets.benchmarks.gmm import random_gmm
from gmmvi_ext.targets.benchmarks.goodwin import Goodwin
from gmmvi_ext.targets.benchmarks.logistic_regression import (
    LogisticRegression,
    MinibatchLogisticRegression,
)
from gmmvi_ext.targets.benchmarks.mnist import mnist
from gmmvi_ext.targets.benchmarks.mog40 import MixtureOfManyModes, mog40
from gmmvi_ext.targets.benchmarks.planar_robot import (
    PlanarRobot,
    planar_robot_four_goals,
    planar_robot_one_goal,
)
from gmmvi_ext.targets.benchmarks.rosenbrock import Rosenbrock
from gmmvi_ext.targets.benchmarks.star import star
from gmmvi_ext.targets.benchmarks.student_t import student_t, student_t_mixture
from gmmvi_ext.targets.benchmarks.talos import Talos
from gmmvi_ext.targets.benchmarks.toy_gmm import toy_gmm
from gmmvi_ext.targets.benchmarks.wine import wine

__all__ = [
    "Banana",
    "BayesianNetwork",
    "ClassificationNetwork",
    "EllipticalMixture",
    "Funnel",
    "GaussianMixture",
    "Goodwin",
    "LogisticRegression",
    "MinibatchLogisticRegression",
    "MixtureOfManyModes",
    "PlanarRobot",
    "RegressionNetwork",
    "Rosenbrock",
    "StudentTMixture",
    "Talos",
    "breast_cancer",
    "breast_cancer_minibatch",
    "diagonal_gmm",
    "gaussian",
    "german_credit",
    "german_credit_minibatch",
    "mnist",
    "mog40",
    "planar_robot_four_goals",
    "planar_robot_one_goal",
    "random_gmm",
    "star",
    "student_t",
    "student_t_mixture",
    "toy_gmm",
    "wine",
]
