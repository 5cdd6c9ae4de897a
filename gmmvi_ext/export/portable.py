"""Rewrites a traced function so that converters know all its operations.

ONNX has no `expm1`, which inverse softplus and its relatives use. The identity
`expm1(x) = tanh(x / 2) (exp(x) + 1)` keeps its accuracy near zero and needs common operations only.
"""

import tensorflow as tf
from tensorflow.core.framework import attr_value_pb2, graph_pb2, node_def_pb2
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

__all__ = ["without_expm1"]


def without_expm1(function):
    """The concrete `function`, frozen and rewritten if it holds `Expm1`, else unchanged."""
    frozen = convert_variables_to_constants_v2(function)
    graph = frozen.graph.as_graph_def()
    if not any(node.op == "Expm1" for node in graph.node):
        return function
    feeds = [tensor.name for tensor in frozen.inputs]
    outputs = function.structured_outputs
    fetches = dict(zip(sorted(outputs), (t.name for t in frozen.outputs), strict=True))
    rewritten = _rewritten(graph)

    def load():
        tf.graph_util.import_graph_def(rewritten, name="")

    wrapped = tf.compat.v1.wrap_function(load, [])
    found = {name: wrapped.graph.get_tensor_by_name(each) for name, each in fetches.items()}
    return wrapped.prune([wrapped.graph.get_tensor_by_name(each) for each in feeds], found)


def _rewritten(graph: graph_pb2.GraphDef) -> graph_pb2.GraphDef:
    """The graph with every `Expm1` node replaced by its identity."""
    result = graph_pb2.GraphDef()
    result.CopyFrom(graph)
    del result.node[:]
    for node in graph.node:
        result.node.extend(_tanh_form(node) if node.op == "Expm1" else [node])
    return result


def _tanh_form(node: node_def_pb2.NodeDef) -> list[node_def_pb2.NodeDef]:
    dtype = node.attr["T"].type
    base, x = f"{node.name}_tanh_form", node.input[0]

    def op(name, kind, *inputs):
        made = node_def_pb2.NodeDef(name=name, op=kind, input=inputs)
        made.attr["T"].type = dtype
        return made

    def constant(name, value):
        made = node_def_pb2.NodeDef(name=name, op="Const")
        made.attr["dtype"].type = dtype
        tensor = tf.make_tensor_proto(value, tf.as_dtype(dtype))
        made.attr["value"].CopyFrom(attr_value_pb2.AttrValue(tensor=tensor))
        return made

    return [
        constant(f"{base}/half", 0.5),
        constant(f"{base}/one", 1.0),
        op(f"{base}/scaled", "Mul", x, f"{base}/half"),
        op(f"{base}/tanh", "Tanh", f"{base}/scaled"),
        op(f"{base}/exp", "Exp", x),
        op(f"{base}/sum", "AddV2", f"{base}/exp", f"{base}/one"),
        op(node.name, "Mul", f"{base}/tanh", f"{base}/sum"),
    ]
