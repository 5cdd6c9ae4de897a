"""What a fit of a plain function loads beside TensorFlow: nothing that takes long."""

import json
import subprocess
import sys

HEAVY = ("tensorflow_probability", "tf_keras", "keras", "matplotlib", "sklearn", "pandas", "jax")
SCRIPT = """
import json, sys
import gmmvi_ext
light = "tensorflow" not in sys.modules and "numpy" not in sys.modules
import tensorflow as tf
loaded = set(sys.modules)
with_tensorflow = sorted({name.split(".")[0] for name in loaded})
gmmvi_ext.fit_many
posterior = gmmvi_ext.fit(
    lambda p: -0.5 * p["a"] ** 2 - 0.5 * tf.reduce_sum(p["b"] ** 2, axis=1),
    shapes={"a": (), "b": (2,)}, max_evaluations=1000, verbose=False,
)
after_fit = sorted({name.split(".")[0] for name in set(sys.modules) - loaded})
str(posterior.report(2000)), posterior.mean(), posterior.log_prob(posterior.sample(5))
after_report = sorted({name.split(".")[0] for name in set(sys.modules) - loaded})
from gmmvi_ext import constraints
constraints.structured({"a": ()}, {"a": "positive"})  # the function, not a module of that name
has_tfp = "tensorflow_probability" in sys.modules
tf.keras.layers.Dense(2), sys.modules["keras"].layers.Dense(2)  # there when they are asked for
import tensorflow.keras
print(json.dumps([light, with_tensorflow, after_fit, after_report, has_tfp]))
"""


def test_a_fit_of_a_plain_function_and_its_report_load_nothing_heavy():
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    answer = json.loads(done.stdout.splitlines()[-1])
    light, with_tensorflow, after_fit, after_report, has_tfp = answer
    assert light, "`import gmmvi_ext` alone loads neither NumPy nor TensorFlow"
    assert not set(with_tensorflow) & set(HEAVY), with_tensorflow
    assert not set(after_fit) & set(HEAVY), after_fit
    assert not set(after_report) & set(HEAVY), after_report
    assert has_tfp  # constraints need it
