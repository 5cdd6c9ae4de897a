"""Bayesian neural networks on minibatches.

    log p(w) = s ( -M mean_batch loss(net(x; w), y) - |w / prior_std|^2 / 2 )

with the squared error (no noise parameter: variance 1/2) or the cross-entropy as loss, M the
number of training rows and s the scaling of the likelihood. The weights are one vector: W_1
(row-major, inputs x outputs), b_1, W_2, b_2, ...

With a seed every sample of a call gets a batch of its own (see `targets.minibatch`); without one
the loss is the mean over all training rows.
"""

import itertools
import math
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from gmmvi_ext.gaussians.mixture import Mixture
from gmmvi_ext.targets.base import Target
from gmmvi_ext.targets.benchmarks.checks import check_count, check_positive
from gmmvi_ext.targets.data import SplitData
from gmmvi_ext.targets.minibatch import group_by_block, map_padded_chunks, shuffled_blocks, ungroup
from gmmvi_ext.types import DTypeLike, Seed

__all__ = ["BayesianNetwork", "ClassificationNetwork", "RegressionNetwork"]

MAX_ACTIVATIONS = 2**24  # elements of the widest layer held at once where all rows are used


class BayesianNetwork(Target):
    """Base class; subclasses say what the loss is and which metrics follow from the outputs.

    Args:
      data: training, test and validation rows.
      layer_sizes: inputs, hidden layers, outputs.
      activation: of the hidden layers.
      batch_size: rows in a batch.
      likelihood_scaling: s.
      prior_std: standard deviation of the prior of every weight.

    Example:
        >>> from gmmvi_ext.targets.benchmarks import BayesianNetwork, RegressionNetwork
        >>> from gmmvi_ext.targets.data import SplitData
        >>> rows, labels = np.ones([20, 3]), np.arange(20) % 2
        >>> data = SplitData(*[rows, labels] * 3)
        >>> target = RegressionNetwork(data, (3, 4, 1), activation=tf.nn.relu, batch_size=5)
        >>> isinstance(target, BayesianNetwork)
        True
        >>> target.num_dimensions  # (3 + 1) 4 + (4 + 1) 1
        21
    """

    data_size: int
    is_stochastic = True
    has_exact_values = True
    label_dtype = None  # None: the dtype of the target

    def __init__(
        self,
        data: SplitData,
        layer_sizes: tuple[int, ...],
        *,
        activation: Callable[[tf.Tensor], tf.Tensor],
        batch_size: int = 128,
        likelihood_scaling: float = 1.0,
        prior_std: float = 1.0,
        dtype: DTypeLike = tf.float32,
        name: str | None = None,
    ):
        self.layer_shapes = tuple(itertools.pairwise(layer_sizes))
        super().__init__(sum((i + 1) * o for i, o in self.layer_shapes), dtype=dtype, name=name)
        self.data_size = len(data.features_train)
        self.batch_size = check_count("batch_size", batch_size)
        if self.batch_size > self.data_size:
            raise ValueError(
                f"`batch_size` must be at most the {self.data_size} training rows, "
                f"got {batch_size}."
            )
        self.likelihood_scaling = check_positive("likelihood_scaling", likelihood_scaling)
        self.prior_std = check_positive("prior_std", prior_std)
        self._activation = activation
        label_dtype = self.label_dtype or self.dtype
        self._features = tf.constant(data.features_train, self.dtype)  # [M, F]
        self._labels = tf.constant(data.labels_train, label_dtype)  # [M]
        self._held_out = {
            "test": (data.features_test, data.labels_test),
            "vali": (data.features_validation, data.labels_validation),
        }

    def network(self, weights: tf.Tensor, features: tf.Tensor) -> tf.Tensor:
        """Outputs [.., G, M, O] of weights [.., G, D] on features [.., M, F]."""
        hidden, start = features[..., tf.newaxis, :, :], 0
        for layer, (inputs, outputs) in enumerate(self.layer_shapes):
            stop = start + inputs * outputs
            shape = tf.concat([tf.shape(weights)[:-1], [inputs, outputs]], axis=0)
            matrix = tf.reshape(weights[..., start:stop], shape)
            bias = weights[..., tf.newaxis, stop : stop + outputs]
            hidden = tf.linalg.matmul(hidden, matrix) + bias
            if layer + 1 < len(self.layer_shapes):
                hidden = self._activation(hidden)
            start = stop + outputs
        return hidden

    def _mean_loss(self, outputs: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        """Loss averaged over rows: outputs [.., G, M, O], labels [.., 1, M] -> [.., G]."""
        raise NotImplementedError

    def log_prob(self, x: tf.Tensor, seed: Seed | None = None) -> tf.Tensor:
        if seed is None:
            signature = tf.TensorSpec([None], self.dtype)
            losses = map_padded_chunks(self._full_loss, x, self._chunk_size(), signature)
        else:
            losses = self._minibatch_loss(x, seed)
        penalty = 0.5 * tf.reduce_sum(tf.square(x / self.prior_std), axis=-1)
        return self.likelihood_scaling * (-self.data_size * losses - penalty)

    def log_prob_and_grad(
        self, x: tf.Tensor, seed: Seed | None = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        if seed is not None:
            return super().log_prob_and_grad(x, seed=seed)
        # value and gradient chunk by chunk: activations of one chunk are held at a time
        signature = (
            tf.TensorSpec([None], self.dtype),
            tf.TensorSpec([None, self.num_dimensions], self.dtype),
        )
        return map_padded_chunks(super().log_prob_and_grad, x, self._chunk_size(), signature)

    def _chunk_size(self) -> int:
        widest = max(outputs for _, outputs in self.layer_shapes)
        return max(1, MAX_ACTIVATIONS // (self.data_size * widest))

    def _full_loss(self, x: tf.Tensor) -> tf.Tensor:
        return self._mean_loss(self.network(x, self._features), self._labels)

    def _minibatch_loss(self, x: tf.Tensor, seed) -> tf.Tensor:
        num_points = tf.shape(x)[0]
        num_blocks = tf.maximum(1, tf.minimum(self.data_size // self.batch_size, num_points))
        rows = shuffled_blocks(seed, self.data_size, self.batch_size, num_blocks)
        features, labels = tf.gather(self._features, rows), tf.gather(self._labels, rows)
        outputs = self.network(group_by_block(x, num_blocks), features)  # [B, G, batch, O]
        return ungroup(self._mean_loss(outputs, labels[:, tf.newaxis]), num_points)

    def _average_outputs(self, samples: tf.Tensor, features: np.ndarray) -> np.ndarray:
        """Prediction averaged over the samples, [M, O]."""
        features = tf.constant(features, self.dtype)
        widest = max(outputs for _, outputs in self.layer_shapes)
        chunk = max(1, MAX_ACTIVATIONS // (features.shape[0] * widest))
        total = 0.0
        for start in range(0, samples.shape[0], chunk):
            part = tf.cast(samples[start : start + chunk], self.dtype)
            total += tf.reduce_sum(self._predict(self.network(part, features)), axis=0).numpy()
        return total / samples.shape[0]

    def _predict(self, outputs: tf.Tensor) -> tf.Tensor:
        """What is averaged over samples for predictions, [N, M, O]."""
        return outputs

    def _score(self, prediction: np.ndarray, labels: np.ndarray) -> dict[str, float]:
        """Measures of an averaged prediction [M, O]."""
        raise NotImplementedError

    def metrics(self, mixture: Mixture, samples: tf.Tensor) -> dict[str, float]:
        """Averaged prediction on the test and validation rows, keys `bi_<set>_<what>`."""
        return {
            f"bi_{part}_{key}": value
            for part, (features, labels) in self._held_out.items()
            for key, value in self._score(self._average_outputs(samples, features), labels).items()
        }


class RegressionNetwork(BayesianNetwork):
    """One output, squared error; metrics `loss` (mean squared error) and `rmse`.

    Example:
        >>> from gmmvi_ext.targets.benchmarks import RegressionNetwork
        >>> from gmmvi_ext.targets.data import SplitData
        >>> rows, labels = np.ones([20, 3]), np.arange(20) % 2
        >>> data = SplitData(*[rows, labels] * 3)  # training, test, validation
        >>> target = RegressionNetwork(data, (3, 4, 1), activation=tf.nn.relu, batch_size=5)
        >>> target.num_dimensions, target.is_stochastic
        (21, True)
    """

    def _mean_loss(self, outputs, labels):
        return tf.reduce_mean(tf.square(outputs[..., 0] - labels), axis=-1)

    def _score(self, prediction, labels):
        loss = float(np.mean((prediction[:, 0] - labels) ** 2))
        return {"loss": loss, "rmse": math.sqrt(loss)}


class ClassificationNetwork(BayesianNetwork):
    """Logits and cross-entropy; metrics `loss` (of the averaged probabilities) and `accuracy`.

    Example:
        >>> from gmmvi_ext.targets.benchmarks import ClassificationNetwork
        >>> from gmmvi_ext.targets.data import SplitData
        >>> rows, labels = np.ones([20, 3]), np.arange(20) % 2
        >>> data = SplitData(*[rows, labels] * 3)  # training, test, validation
        >>> target = ClassificationNetwork(data, (3, 4, 2), activation=tf.nn.relu, batch_size=5)
        >>> target.num_dimensions  # (3 + 1) 4 + (4 + 1) 2
        26
    """

    label_dtype = tf.int32

    def _mean_loss(self, outputs, labels):
        labels = tf.broadcast_to(labels, tf.shape(outputs)[:-1])
        entropy = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=outputs)
        return tf.reduce_mean(entropy, axis=-1)

    def _predict(self, outputs):
        return tf.nn.softmax(outputs, axis=-1)

    def _score(self, prediction, labels):
        chosen = np.maximum(prediction[np.arange(len(labels)), labels], np.finfo(np.float32).tiny)
        accuracy = np.mean(prediction.argmax(axis=-1) == labels)
        return {"loss": float(-np.mean(np.log(chosen))), "accuracy": float(accuracy)}
