"""The portable form converts to ONNX; skipped where the converter is not installed."""

import importlib.util

import numpy as np
import pytest
import tensorflow as tf

pytestmark = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("tf2onnx", "onnxruntime")),
    reason="needs tf2onnx and onnxruntime (pip install tf2onnx onnxruntime)",
)


@pytest.mark.parametrize("diagonal", [False, True])
@pytest.mark.parametrize("constrained", [False, True])
def test_portable_form_converts_to_onnx(tmp_path, make_posterior, diagonal, constrained):
    import onnxruntime
    import tf2onnx

    posterior = make_posterior(diagonal=diagonal, constrained=constrained)
    posterior.export(tmp_path / "m", verify=False)
    model = tf.saved_model.load(str(tmp_path / "m"))
    eps = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)
    u = np.linspace(0.05, 0.95, 6, dtype=np.float32)
    x = model.signatures["sample_from_noise"](eps=tf.constant(eps), u=tf.constant(u))["x"].numpy()
    feeds = {"sample_from_noise": {"eps": eps, "u": u}, "log_prob_portable": {"x": x}}
    for name, feed in feeds.items():
        function = model.signatures[name]
        specs = [tf.TensorSpec([None, *v.shape[1:]], v.dtype, name=k) for k, v in feed.items()]
        wrapped = tf.function(
            lambda *args, f=function, keys=tuple(feed): f(**dict(zip(keys, args, strict=True))),
            input_signature=specs,
        )
        proto, _ = tf2onnx.convert.from_function(wrapped, input_signature=specs)
        session = onnxruntime.InferenceSession(
            proto.SerializeToString(), providers=["CPUExecutionProvider"]
        )
        (value,) = session.run(None, feed)
        expected = next(iter(function(**{k: tf.constant(v) for k, v in feed.items()}).values()))
        np.testing.assert_allclose(value, expected, rtol=1e-4, atol=1e-4)
