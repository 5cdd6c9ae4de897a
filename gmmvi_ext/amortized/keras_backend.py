"""Networks are Keras 3 layers inside TensorFlow functions: Keras has to run on TensorFlow."""

import keras

__all__ = ["require_tensorflow_backend"]


def require_tensorflow_backend() -> None:
    """Refuses other backends of Keras by name.

    Raises:
      RuntimeError: Keras runs on JAX, PyTorch or NumPy.
    """
    backend = keras.config.backend()
    if backend != "tensorflow":
        raise RuntimeError(
            f"Keras runs on {backend!r}, networks of gmmvi_ext need 'tensorflow'; unset the "
            "environment variable KERAS_BACKEND (or set it to tensorflow, or `backend` in "
            "~/.keras/keras.json) and start Python anew."
        )
