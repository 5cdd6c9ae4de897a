"""Rewrites a traced function so that converters know all its operations.

ONNX has neither `expm1` nor `log1p`, which the inverses of many constraints use:

    expm1(x) = tanh(x / 2) (exp(x) + 1)      accurate near zero as well
    log1p(x) = log(1 + x)                    absolute error of one rounding of 1 + x

What has no substitute is left: densities over `correlation` and `positive_definite` matrices need a
Cholesky factorization, which ONNX lacks (their draws convert).
"""

import tensorflow as tf
from tensorflow.core.framework import attr_value_pb2, graph_pb2, node_def_pb2
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

__all__ = ["with_common_operations"]


def with_common_operations(function):
    """The concrete `function`, frozen and rewritten if it holds such operations, else unchanged."""
    frozen = convert_variables_to_constants_v2(function)
    graph = frozen.graph.as_graph_def()
    if not any(node.op in REWRITES for node in graph.node):
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
    """The graph with every such node replaced by its identity."""
    result = graph_pb2.GraphDef()
    result.CopyFrom(graph)
    del result.node[:]
    for node in graph.node:
        result.node.extend(REWRITES[node.op](node) if node.op in REWRITES else [node])
    return result


def _expm1(node: node_def_pb2.NodeDef) -> list[node_def_pb2.NodeDef]:
    dtype, base, x = node.attr["T"].type, f"{node.name}_common", node.input[0]
    return [
        _constant(f"{base}/half", 0.5, dtype),
        _constant(f"{base}/one", 1.0, dtype),
        _operation(f"{base}/scaled", "Mul", dtype, x, f"{base}/half"),
        _operation(f"{base}/tanh", "Tanh", dtype, f"{base}/scaled"),
        _operation(f"{base}/exp", "Exp", dtype, x),
        _operation(f"{base}/sum", "AddV2", dtype, f"{base}/exp", f"{base}/one"),
        _operation(node.name, "Mul", dtype, f"{base}/tanh", f"{base}/sum"),
    ]


def _log1p(node: node_def_pb2.NodeDef) -> list[node_def_pb2.NodeDef]:
    dtype, base = node.attr["T"].type, f"{node.name}_common"
    return [
        _constant(f"{base}/one", 1.0, dtype),
        _operation(f"{base}/sum", "AddV2", dtype, node.input[0], f"{base}/one"),
        _operation(node.name, "Log", dtype, f"{base}/sum"),
    ]


REWRITES = {"Expm1": _expm1, "Log1p": _log1p}


def _operation(name: str, kind: str, dtype: int, *inputs: str) -> node_def_pb2.NodeDef:
    made = node_def_pb2.NodeDef(name=name, op=kind, input=inputs)
    made.attr["T"].type = dtype
    return made


def _constant(name: str, value: float, dtype: int) -> node_def_pb2.NodeDef:
    made = node_def_pb2.NodeDef(name=name, op="Const")
    made.attr["dtype"].type = dtype
    tensor = tf.make_tensor_proto(value, tf.as_dtype(dtype))
    made.attr["value"].CopyFrom(attr_value_pb2.AttrValue(tensor=tensor))
    return made
