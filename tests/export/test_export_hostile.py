"""Every way by which TensorFlow comes to a function is walked: none leads to a file."""

import os
import shutil

import pytest
import tensorflow as tf
from tensorflow.core.framework import node_def_pb2
from tensorflow.core.protobuf import saved_model_pb2, saved_object_graph_pb2

from gmmvi_ext.export import UnsafeExportError, check_operations, load_saved_model

VICTIM = "/tmp/gmmvi-ext-never-written"


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """A SavedModel that passes: one function, one variable."""

    class Sound(tf.Module):
        def __init__(self):
            super().__init__()
            self.value = tf.Variable(1.0)

        @tf.function(input_signature=[tf.TensorSpec([None], tf.float32)])
        def run(self, x):
            return {"y": x * self.value}

    path = tmp_path_factory.mktemp("sound") / "m"
    tf.saved_model.save(Sound(), str(path))
    (path / "export.json").write_text('{"gmmvi_ext_export": 1}')
    check_operations(path)
    return path


def graph_of(model):
    return model.meta_graphs[0]


def function_of(model, role):
    """The saver's function that saves or restores."""
    graph = graph_of(model)
    saver = graph.saver_def
    wanted = {"save": saver.save_tensor_name.split(":")[0], "restore": saver.restore_op_name}
    node = next(each for each in graph.graph_def.node if each.name == wanted[role])
    name = node.attr["f"].func.name
    return next(f for f in graph.graph_def.library.function if f.signature.name == name)


def text_node(name, value):
    node = node_def_pb2.NodeDef(name=name, op="Const")
    node.attr["dtype"].type = tf.string.as_datatype_enum
    node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(value))
    return node


def writing(function):
    """Puts an operation that writes a file of its own choice into a function."""
    node = node_def_pb2.NodeDef(name="evil", op="SaveV2")
    node.input.extend(["path:output:0", "names:output:0", "slices:output:0", "path:output:0"])
    node.attr["dtypes"].list.type.append(tf.string.as_datatype_enum)
    function.node_def.extend(
        [text_node("path", VICTIM), text_node("names", ["x"]), text_node("slices", [""]), node]
    )


def bare(model):
    """The first form seen: named by an object alone, not in the table of functions."""
    function = function_of(model, "restore")
    writing(function)
    node = graph_of(model).object_graph_def.nodes.add()
    node.bare_concrete_function.concrete_function_name = function.signature.name


def initializer(model):
    function = function_of(model, "restore")
    writing(function)
    nodes = graph_of(model).object_graph_def.nodes
    first = nodes.add()
    first.bare_concrete_function.concrete_function_name = function.signature.name
    second = nodes.add()
    second.resource.SetInParent()
    second.children.add(node_id=len(nodes) - 2, local_name="_initialize")


def polymorphic(model):
    node = graph_of(model).object_graph_def.nodes.add()
    node.function.concrete_functions.append(function_of(model, "restore").signature.name)


def table(model):
    name = function_of(model, "save").signature.name
    graph_of(model).object_graph_def.concrete_functions[name].SetInParent()


def nested(model):
    """Another function of the library calls it."""
    library = graph_of(model).graph_def.library.function
    name = function_of(model, "restore").signature.name
    other = next(f for f in library if "wrapper" in f.signature.name)
    other.node_def.add(name="c", op="PartitionedCall").attr["f"].func.name = name


def branch(model):
    """... in a list of branches."""
    library = graph_of(model).graph_def.library.function
    name = function_of(model, "restore").signature.name
    other = next(f for f in library if "wrapper" in f.signature.name)
    node = other.node_def.add(name="c", op="StatelessCase")
    node.attr["branches"].list.func.add(name=name)


def by_name(model):
    """A function may be called by its name as the operation."""
    library = graph_of(model).graph_def.library.function
    name = function_of(model, "restore").signature.name
    other = next(f for f in library if "wrapper" in f.signature.name)
    other.node_def.add(name="c", op=name)


def top_level(model):
    graph = graph_of(model)
    name = function_of(model, "save").signature.name
    graph.graph_def.node.add(name="c", op="StatefulPartitionedCall").attr["f"].func.name = name


def gradient(model):
    library = graph_of(model).graph_def.library
    name = function_of(model, "restore").signature.name
    library.gradient.add(function_name=library.function[0].signature.name, gradient_func=name)


def in_bytes(model):
    library = graph_of(model).graph_def.library.function
    name = function_of(model, "restore").signature.name
    library[0].attr["forward_function_name"].s = name.encode()


def alias(model):
    name = function_of(model, "restore").signature.name
    graph_of(model).meta_info_def.function_aliases[name] = "run"


def writing_restore(model):
    writing(function_of(model, "restore"))


def writing_save(model):
    writing(function_of(model, "save"))


def reading_elsewhere(model):
    function = function_of(model, "restore")
    function.node_def.append(text_node("path", VICTIM))
    node = next(each for each in function.node_def if each.op == "RestoreV2")
    node.input[0] = "path:output:0"


def moving_elsewhere(model):
    function = function_of(model, "save")
    function.node_def.append(text_node("path", VICTIM))
    node = next(each for each in function.node_def if each.op == "MergeV2Checkpoints")
    node.input[1] = "path:output:0"


def another_part(model):
    function = function_of(model, "save")
    node = next(n for n in function.node_def if b"_temp/part" in n.attr["value"].tensor.string_val)
    node.attr["value"].tensor.string_val[0] = b"/../../../tmp/x"


def twice(model):
    """The last definition is harmless; TensorFlow may take the first."""
    library = graph_of(model).graph_def.library.function
    copies = [type(f).FromString(f.SerializeToString()) for f in library]
    evil = copies[0]
    writing(evil)
    del library[:]
    library.extend([evil, *copies[1:]])
    library.add().CopyFrom(copies[0])
    del library[-1].node_def[-4:]


def like_an_operation(model):
    function = graph_of(model).graph_def.library.function.add()
    function.signature.name = "WriteFile"


def asset(model):
    graph_of(model).object_graph_def.nodes.add().asset.SetInParent()


def captured(model):
    node = graph_of(model).object_graph_def.nodes.add()
    node.captured_tensor.name = "x:0"


def registered(model):
    graph_of(model).object_graph_def.nodes[0].registered_name = "Keras.Lambda"


def revived(model):
    nodes = graph_of(model).object_graph_def.nodes
    next(n for n in nodes if n.HasField("user_object")).user_object.identifier = "_tf_keras_layer"


def own_saver(model):
    node = graph_of(model).object_graph_def.nodes[0]
    node.saveable_objects["x"].CopyFrom(saved_object_graph_pb2.SaveableObject())


def collection(model):
    graph_of(model).collection_def["legacy_init_op"].node_list.value.append("NoOp")


def asset_file(model):
    graph_of(model).asset_file_def.add(filename="../../x")


def two_graphs(model):
    model.meta_graphs.add().CopyFrom(graph_of(model))


def no_objects(model):
    graph_of(model).ClearField("object_graph_def")


def elsewhere(model):
    graph_of(model).graph_def.node[0].device = "/job:worker/task:1/device:CPU:0"


def replaced(model):
    graph_of(model).graph_def.library.function[0].attr["api_implements"].s = b"x"


def missing(model):
    """Functions of the process that loads must not be reached by their names."""
    library = graph_of(model).graph_def.library.function
    node = library[0].node_def.add(name="c", op="PartitionedCall")
    node.attr["f"].func.name = "__inference_of_somebody_else"


def variables_of_others(model):
    graph_of(model).graph_def.library.function[0].node_def.add(name="c", op="VarHandleOp")


def variable_of(model):
    nodes = graph_of(model).object_graph_def.nodes
    return next(node.variable for node in nodes if node.WhichOneof("kind") == "variable")


def variable_elsewhere(model):
    variable_of(model).device = "/job:worker/task:1/device:CPU:0"


def variable_of_many_devices(model):
    variable, part = variable_of(model), saved_object_graph_pb2.SavedVariable()
    part.CopyFrom(variable)
    variable.experimental_distributed_variable_components.add().CopyFrom(part)


WAYS = [
    *(bare, initializer, polymorphic, table, nested, branch, by_name, top_level, gradient),
    *(in_bytes, alias, writing_restore, writing_save, reading_elsewhere, moving_elsewhere),
    *(another_part, twice, like_an_operation, asset, captured, registered, revived, own_saver),
    *(collection, asset_file, two_graphs, no_objects, elsewhere, replaced, missing),
    *(variables_of_others, variable_elsewhere, variable_of_many_devices),
]


@pytest.mark.parametrize("way", WAYS, ids=lambda each: each.__name__)
def test_a_way_around_the_list_is_refused_before_anything_runs(tmp_path, sound, way):
    path = tmp_path / "m"
    shutil.copytree(sound, path)
    file = path / "saved_model.pb"
    model = saved_model_pb2.SavedModel.FromString(file.read_bytes())
    way(model)
    file.write_bytes(model.SerializeToString())
    with pytest.raises(UnsafeExportError):
        load_saved_model(path)
    assert not os.path.exists(f"{VICTIM}.index")


@pytest.mark.parametrize(
    "name", ["saved_model.pb", "fingerprint.pb", "variables", "variables/variables.index"]
)
def test_links_in_an_export_are_refused(tmp_path, sound, name):
    path = tmp_path / "m"
    shutil.copytree(sound, path)
    (path / name).rename(tmp_path / "real")
    (path / name).symlink_to(tmp_path / "real")
    with pytest.raises(UnsafeExportError, match=r"link.*cp -rL"):
        load_saved_model(path)


def test_a_damaged_file_is_said_to_be_damaged(tmp_path, sound):
    path = tmp_path / "m"
    shutil.copytree(sound, path)
    content = (path / "saved_model.pb").read_bytes()
    (path / "saved_model.pb").write_bytes(content[: len(content) // 2])
    with pytest.raises(UnsafeExportError, match=f"{path}.*damaged"):
        load_saved_model(path)


@pytest.mark.parametrize("text", ["[]", "null", "{", '{"gmmvi_ext_export": {}}', "\udcff"])
def test_a_damaged_description_is_one_sentence(tmp_path, sound, text):
    path = tmp_path / "m"
    shutil.copytree(sound, path)
    (path / "export.json").write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(ValueError, match=r"export\.json"):
        load_saved_model(path)


def test_the_sound_one_loads(sound):
    loaded = load_saved_model(sound)
    assert float(loaded.run(tf.constant([3.0]))["y"][0]) == 3.0


def unindexed(path):
    (path / "variables" / "variables.index").unlink()


def without_variables(path):
    shutil.rmtree(path / "variables")


def cut(path):
    os.truncate(path / "variables" / "variables.data-00000-of-00001", 1)


def of_another_model(path):
    tf.train.Checkpoint(other=tf.Variable(1.0)).write(str(path / "variables" / "variables"))


def far_child(path):
    file = path / "saved_model.pb"
    model = saved_model_pb2.SavedModel.FromString(file.read_bytes())
    model.meta_graphs[0].object_graph_def.nodes[0].children[0].node_id = 10**6
    file.write_bytes(model.SerializeToString())


@pytest.mark.parametrize("change", [unindexed, without_variables, cut, of_another_model, far_child])
def test_what_tensorflow_cannot_load_is_one_sentence(tmp_path, sound, change):
    path = tmp_path / "m"
    shutil.copytree(sound, path)
    change(path)
    with pytest.raises(ValueError, match="cannot load it .*mixture.npz"):
        load_saved_model(path)


def test_a_damaged_fingerprint_is_not_read(tmp_path, sound, caplog):
    path = tmp_path / "m"
    shutil.copytree(sound, path)
    (path / "fingerprint.pb").write_bytes(b"\xff" * 100)
    loaded = load_saved_model(path)
    assert float(loaded.run(tf.constant([3.0]))["y"][0]) == 3.0
    assert "Traceback" not in caplog.text


@pytest.mark.parametrize("name", ["export.json", "saved_model.pb", "variables/pipe", "debug/x.pb"])
def test_a_pipe_is_refused_or_not_read(tmp_path, sound, name):
    path = tmp_path / "m"
    shutil.copytree(sound, path)
    (path / name).unlink(missing_ok=True)
    (path / name).parent.mkdir(exist_ok=True)
    os.mkfifo(path / name)
    if name.startswith("debug"):
        load_saved_model(path)
    else:
        with pytest.raises((OSError, UnsafeExportError), match="no file"):
            load_saved_model(path)


def test_what_is_exchanged_after_the_check_is_not_loaded(tmp_path, sound, monkeypatch):
    """The copy that was checked is what TensorFlow gets."""
    path = tmp_path / "m"
    shutil.copytree(sound, path)
    load = tf.saved_model.load

    def exchanged(folder):
        file = path / "saved_model.pb"
        model = saved_model_pb2.SavedModel.FromString(file.read_bytes())
        bare(model)
        file.write_bytes(model.SerializeToString())
        for each in (path / "variables").iterdir():
            each.write_bytes(b"")
        return load(folder)

    monkeypatch.setattr(tf.saved_model, "load", exchanged)
    loaded = load_saved_model(path)
    assert float(loaded.run(tf.constant([3.0]))["y"][0]) == 3.0
    assert not os.path.exists(f"{VICTIM}.index")
