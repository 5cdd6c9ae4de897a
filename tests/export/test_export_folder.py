"""Where an export cannot be written, the disk is named, not the memory."""

import pytest
import tensorflow as tf

from gmmvi_ext.export.folder import write_model


class Module(tf.Module):
    def signatures(self):
        return {}


@pytest.mark.parametrize(
    ("error", "found", "words"),
    [
        (tf.errors.ResourceExhaustedError, OSError, "No space left on device"),
        (tf.errors.PermissionDeniedError, OSError, "Permission denied"),
        (tf.errors.ResourceExhaustedError, tf.errors.ResourceExhaustedError, "OOM when allocating"),
    ],
)
def test_trouble_of_the_disk_is_told_from_trouble_of_memory(
    tmp_path, monkeypatch, error, found, words
):
    def fail(*_, **__):
        raise error(None, None, f"part/variables/variables.index; {words}\nmore")

    monkeypatch.setattr(tf.saved_model, "save", fail)
    with pytest.raises(found, match=words):
        write_model(Module(), tmp_path, custom_gradients=True)
