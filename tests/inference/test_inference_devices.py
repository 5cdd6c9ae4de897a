"""Every operation of the iteration runs on the device that the learner was placed on."""

import json
import subprocess
import sys

import pytest

# Logical devices can only be made before TensorFlow is initialized: a process of its own.
SCRIPT = """
import json, sys
import gmmvi_ext
import tensorflow as tf
(cpu,) = tf.config.list_physical_devices("CPU")
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
from gmmvi_ext.config.codewords import expand_code_word
from gmmvi_ext.inference import learning_step
from gmmvi_ext.inference.gmmvi import GMMVI
from gmmvi_ext.targets.registry import build_target

reuse = float(sys.argv[1])
with tf.device("/CPU:1"):
    target = build_target("GMM", {"num_dimensions": 3}, seed=0)
    rules = {f"{role}_type": name for role, name in expand_code_word("SAMTRON").items()}
    config = rules | {
        "model_initialization": {"num_initial_components": 3, "prior_scale": 10.0},
        "sample_selector_config": {
            "desired_samples_per_component": 20, "ratio_reused_samples_to_desired": reuse,
        },
        "num_component_adapter_config": {"add_iters": 2, "num_prior_samples": 5},
    }
    algorithm = GMMVI.build_from_config(config, target, seed=0)
    for _ in range(4):
        metrics = algorithm.step()
(step,) = learning_step._steps.values()
traced = [step._propose, step._learn, target._graphs.functions["log_prob_and_grad"]]
graphs = [each._concrete.graph.as_graph_def() for each in traced]
nodes = [node for graph in graphs for node in graph.node]
nodes += [node for graph in graphs for each in graph.library.function for node in each.node_def]
print(json.dumps({
    "devices": sorted({node.device for node in nodes}),
    "host_calls": sorted({node.op for node in nodes if "PyFunc" in node.op}),
    "variables": sorted({variable.device[-5:] for variable in algorithm.variables}),
    "result": metrics["elbo_estimate"].device[-5:],
    "finite": bool(tf.math.is_finite(metrics["elbo_estimate"])),
}))
"""


@pytest.mark.parametrize("reuse", [0.0, 2.0])
def test_nothing_leaves_the_device(reuse):
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(reuse)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    seen = json.loads(done.stdout.splitlines()[-1])
    # Nodes of library functions carry no device: they run where their caller does.
    assert all(device == "" or device.endswith("CPU:1") for device in seen["devices"]), seen
    assert seen["host_calls"] == []
    assert seen["variables"] == ["CPU:1"] and seen["result"] == "CPU:1"
    assert seen["finite"]
