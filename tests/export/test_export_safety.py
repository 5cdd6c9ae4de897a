"""A foreign program in the place of an export is refused before it is loaded."""

import pytest
import tensorflow as tf

from gmmvi_ext.export import UnsafeExportError, check_operations, load_saved_model
from gmmvi_ext.export.safety import ALLOWED_OPERATIONS, CHECKPOINT_OPERATIONS, operations_of
from gmmvi_ext.posterior import Posterior


class Foreign(tf.Module):
    """A module whose function reads, writes or calls what an export never does."""

    def __init__(self, kind):
        super().__init__()
        self.kind = kind
        self.value = tf.Variable(1.0)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32)])
    def run(self, x):
        if self.kind == "read":
            return {"y": tf.io.read_file("/etc/hostname")}
        if self.kind == "write":
            tf.io.write_file("/tmp/never", tf.strings.as_string(x[0]))
        if self.kind == "host":
            x = tf.numpy_function(lambda v: v, [x], tf.float32)
        if self.kind == "save":
            tf.raw_ops.SaveV2(
                prefix="/tmp/never", tensor_names=["x"], shape_and_slices=[""], tensors=[x]
            )
        if self.kind == "restore":
            x = tf.raw_ops.RestoreV2(
                prefix="/tmp/never", tensor_names=["x"], shape_and_slices=[""], dtypes=[tf.float32]
            )[0]
        if self.kind == "print":
            tf.print(x)
        return {"y": x * self.value}


@pytest.mark.parametrize(
    "kind, operation",
    [
        ("read", "ReadFile"),
        ("write", "WriteFile"),
        ("host", "PyFunc"),
        ("save", "SaveV2"),
        ("restore", "RestoreV2"),
        ("print", "PrintV2"),
    ],
)
def test_operations_outside_mathematics_are_refused(tmp_path, kind, operation):
    tf.saved_model.save(Foreign(kind), str(tmp_path))
    (tmp_path / "export.json").write_text('{"gmmvi_ext_export": 1}')
    with pytest.raises(UnsafeExportError, match=operation):
        load_saved_model(tmp_path)


def test_plain_arithmetic_passes(tmp_path):
    tf.saved_model.save(Foreign("none"), str(tmp_path))
    check_operations(tmp_path)
    assert "SaveV2" not in operations_of(tmp_path)  # the saver's own are not counted


def test_assets_are_refused(tmp_path):
    file = tmp_path / "words.txt"
    file.write_text("a\n")
    module = Foreign("none")
    module.asset = tf.saved_model.Asset(str(file))
    tf.saved_model.save(module, str(tmp_path / "m"))
    with pytest.raises(UnsafeExportError):
        check_operations(tmp_path / "m")


def test_the_lists_hold_nothing_that_leaves_the_process():
    # None of these belongs to arithmetic; the saver's are confined to its own functions.
    for name in ("ReadFile", "WriteFile", "PyFunc", "EagerPyFunc", "PrintV2", "MatchingFiles"):
        assert name not in ALLOWED_OPERATIONS | CHECKPOINT_OPERATIONS
    assert not ALLOWED_OPERATIONS & CHECKPOINT_OPERATIONS


CONSTRAINTS = {
    "positive": (4,),
    "interval(-1, 2)": (4,),
    "greater_than(3)": (4,),
    "less_than(3)": (4,),
    "ordered": (4,),
    "positive_ordered": (4,),
    "simplex": (5,),
    "unit_vector": (5,),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", CONSTRAINTS)
def test_every_constraint_exports_with_allowed_operations(tmp_path, make_posterior, name):
    posterior = Posterior(
        make_posterior(constrained=False).mixture,
        bijector={"a": name},
        parameter_names={"a": CONSTRAINTS[name]},
    )
    posterior.export(tmp_path / "m", verify=False)
    assert operations_of(tmp_path / "m") <= ALLOWED_OPERATIONS
