"""Encoders and decoders: Keras 3 layers behind modules that keep all leading axes."""

from gmmvi_ext.amortized.networks.base import Network, activation_layer, dense
from gmmvi_ext.amortized.networks.convolutional import ConvDecoder, ConvEncoder
from gmmvi_ext.amortized.networks.feed_forward import FeedForwardDecoder, FeedForwardEncoder

__all__ = [
    "ConvDecoder",
    "ConvEncoder",
    "FeedForwardDecoder",
    "FeedForwardEncoder",
    "Network",
    "activation_layer",
    "dense",
]
