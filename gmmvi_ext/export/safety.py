"""Which operations an export may contain, and who may call them.

A SavedModel is a program. Ours are arithmetic on tensors, so everything else (files, network,
Python calls, process control, assets, resources with initializers) is refused before the file is
loaded. The two functions that save and restore the variables do touch files: they have to be what
TensorFlow writes, and nothing but the saver may mention them anywhere in the file.
"""

import contextlib
import os
import re
import shutil
import stat
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow.core.protobuf import meta_graph_pb2, saved_model_pb2

from gmmvi_ext.confined import no_folder, open_plain, read_inside
from gmmvi_ext.types import PathLike

__all__ = [
    "ALLOWED_OPERATIONS",
    "UnsafeExportError",
    "check_operations",
    "checked_copy",
    "operations_of",
]

ALLOWED_OPERATIONS = frozenset(
    """
    Abs Add AddN AddV2 All Any ArgMax ArgMin Asin Asinh Assert Atan BatchMatMul BatchMatMulV2
    BatchMatMulV3 BatchToSpaceND Betainc BiasAdd Bincount BitwiseXor BroadcastArgs
    BroadcastGradientArgs BroadcastTo Bucketize Cast Ceil CheckNumerics Cholesky CholeskyGrad
    ClipByValue Concat ConcatV2 Const Conv2D Conv2DBackpropInput Cos Cosh Cumprod Cumsum
    CumulativeLogsumexp DenseBincount Digamma Div DivNoNan Einsum Elu Empty EnsureShape Equal Erf
    Erfc Erfinv Exp ExpandDims Expm1 Fill Floor FloorDiv FloorMod Gather GatherNd GatherV2 Greater
    GreaterEqual Identity IdentityN If Igamma Igammac Inv InvGrad Invert InvertPermutation IsFinite
    IsInf IsNan L2Loss LeakyRelu Less LessEqual Lgamma LinSpace Log Log1p LogSoftmax LogicalAnd
    LogicalNot LogicalOr LowerBound MatMul MatrixBandPart MatrixDeterminant MatrixDiag
    MatrixDiagPart MatrixDiagPartV2 MatrixDiagPartV3 MatrixDiagV2 MatrixDiagV3 MatrixInverse
    MatrixSetDiag MatrixSetDiagV2 MatrixSetDiagV3 MatrixSolve MatrixTriangularSolve Max Maximum Mean
    Min Minimum Mod Mul MulNoNan Multinomial Ndtri Neg NoOp NotEqual OneHot OnesLike Pack Pad PadV2
    PartitionedCall Placeholder PlaceholderWithDefault Pow PreventGradient Prod Qr RandomUniform
    Range Rank ReadVariableOp Real RealDiv Reciprocal ReciprocalGrad Relu Reshape ResourceGather
    ResourceGatherNd Reverse ReverseV2 Rint Roll Round Rsqrt RsqrtGrad ScatterNd SearchSorted Select
    SelectV2 SelfAdjointEigV2 Shape ShapeN Sigmoid SigmoidGrad Sign Sin Sinh Size Slice Softmax
    Softplus SoftplusGrad Softsign Sort SpaceToBatchND SparseSoftmaxCrossEntropyWithLogits Split
    SplitV Sqrt SqrtGrad Square SquaredDifference Squeeze StatefulPartitionedCall StatelessCase
    StatelessIf StatelessMultinomial StatelessRandomGetAlg StatelessRandomGetKeyCounter
    StatelessRandomGetKeyCounterAlg StatelessRandomNormal StatelessRandomNormalV2
    StatelessRandomUniform StatelessRandomUniformFullInt StatelessRandomUniformFullIntV2
    StatelessRandomUniformInt StatelessRandomUniformIntV2 StatelessRandomUniformV2 StatelessWhile
    StopGradient StridedSlice StridedSliceGrad Sub Sum Tan Tanh TanhGrad TensorScatterUpdate Tile
    TopK TopKV2 Transpose TruncateDiv Unique UniqueV2 Unpack UnsortedSegmentSum UpperBound
    VarHandleOp VarIsInitializedOp VariableShape Where While Xdivy Xlog1py Xlogy ZerosLike
    """.split()
)
# The functions that save and restore a SavedModel's own variables hold these, each its own.
SAVE_OPERATIONS = frozenset(
    "DisableCopyOnRead MergeV2Checkpoints SaveV2 ShardedFilename StaticRegexFullMatch StringJoin"
    " Select Const Identity NoOp Pack ReadVariableOp".split()
)
RESTORE_OPERATIONS = frozenset("AssignVariableOp RestoreV2 Const Identity NoOp".split())
CHECKPOINT_OPERATIONS = (SAVE_OPERATIONS | RESTORE_OPERATIONS) - ALLOWED_OPERATIONS
# Which input of each is the name of a file: it has to come from the saver's own argument.
_FILE_NAMES = {
    "MergeV2Checkpoints": (0, 1),
    "RestoreV2": (0,),
    "SaveV2": (0,),
    "ShardedFilename": (0,),
    "StringJoin": (0,),
}
_NAMES_OF_PARTS = {b".part", b"_temp/part"}
_NAME_PASSES = ("Identity", "Pack", "ShardedFilename", "StringJoin")
# What TensorFlow writes for modules, variables and functions; the others run code of their own
# when they are made (assets, resources with initializers, registered classes, tensors of a graph).
_NODE_KINDS = {"user_object", "variable", "function", "bare_concrete_function", "constant"}
_USER_OBJECTS = {
    "_generic_user_object",
    "signature_map",
    "trackable_dict_wrapper",
    "trackable_list_wrapper",
    "trackable_tuple_wrapper",
}
_COLLECTIONS = {"saved_model_main_op"}
_LOCAL_DEVICE = re.compile(r"(/job:localhost)?(/replica:0)?(/task:0)?(/device:(CPU|GPU):(\d+|\*))?")
# Attributes by which TensorFlow takes another function than the one that is called.
_REPLACING_ATTRIBUTES = ("api_implements", "api_preferred_device")
MAX_GRAPH = 2**31 - 1  # bytes, as protocol buffers allow
_FINGERPRINT = "fingerprint.pb"
_MAX_NAME = 1000  # bytes; longer ones are data


class UnsafeExportError(ValueError):
    """An export holds something that ours never hold."""


def operations_of(path) -> set[str]:
    """Names of the operations in the SavedModel folder `path`, without loading it.

    Checkpoint operations count only where they are not confined to the saver's own functions.
    """
    return _operations(_read(Path(path)))


def _operations(model: saved_model_pb2.SavedModel) -> set[str]:
    found = set()
    for graph in model.meta_graphs:
        library = list(graph.graph_def.library.function)
        names = {function.signature.name for function in library}
        saver = _saver_functions(graph)
        found |= {node.op for node in graph.graph_def.node} - names
        for function in library:
            allowed = saver.get(function.signature.name, frozenset())
            found |= {node.op for node in function.node_def} - allowed - names
    return found


def check_operations(path: PathLike) -> None:
    """Refuses a SavedModel with operations outside the allow-list, or with a way around it.

    Raises:
      FileNotFoundError: the folder holds no SavedModel.
      UnsafeExportError: names what is wrong.

    Example:
        >>> from gmmvi_ext.export import check_operations
        >>> from gmmvi_ext.models import initial_mixture
        >>> posterior = gmmvi_ext.Posterior(initial_mixture(2))
        >>> folder = posterior.export("model", verify=False)
        >>> check_operations("model")  # silent where nothing is wrong
    """
    _check(_read(Path(path)), path)


@contextlib.contextmanager
def checked_copy(path) -> Iterator[Path]:
    """Context with a copy of a SavedModel that was checked: what is loaded is what was looked at.

    Only what TensorFlow needs is copied: graph and variables.

    Raises:
      FileNotFoundError: the folder holds no SavedModel.
      UnsafeExportError: names what is wrong.
    """
    folder = Path(path)
    _refuse_links(folder)
    with tempfile.TemporaryDirectory() as name:
        copy = Path(name)
        (copy / "variables").mkdir()
        for each in _files(folder):
            if each.name == _FINGERPRINT:  # TensorFlow logs a traceback at one that is damaged
                continue
            with open_plain(each) as source, open(copy / each.relative_to(folder), "wb") as file:
                shutil.copyfileobj(source, file)
        _check(_read(copy, folder), path)
        yield copy


def _check(model: saved_model_pb2.SavedModel, path) -> None:
    unknown = sorted(_operations(model) - ALLOWED_OPERATIONS)
    if unknown:
        raise UnsafeExportError(
            f"{path}: operations {', '.join(unknown)} are not on the list of exports of this "
            "package; the file was not loaded. If you made it yourself with an unusual bijector, "
            "`tf.saved_model.load` reads it at your own risk."
        )
    problem = next(_problems(model), None)
    if problem is not None:
        raise UnsafeExportError(
            f"{path}: {problem}, exports of this package never do; the file was not loaded. Take "
            "`mixture.npz` and `posterior.json` of the same folder instead: gmmvi_ext.load reads "
            "them as plain data."
        )


def _problems(model: saved_model_pb2.SavedModel) -> Iterator[str]:
    """What else than operations a hostile file could use, one after the other."""
    if len(model.meta_graphs) != 1 or not model.meta_graphs[0].HasField("object_graph_def"):
        yield "it does not hold exactly one graph of objects"
        return
    graph = model.meta_graphs[0]
    if graph.asset_file_def:
        yield "it refers to asset files"
    foreign = sorted(set(graph.collection_def) - _COLLECTIONS)
    if foreign:
        yield f"it has the collections {', '.join(foreign)}"
    yield from _problems_of_functions(graph)
    yield from _problems_of_objects(graph)
    saver = _saver_functions(graph)
    for name, operations in saver.items():
        yield from _problems_of_saver(name, operations, graph)


def _problems_of_functions(graph: meta_graph_pb2.MetaGraphDef) -> Iterator[str]:
    library = list(graph.graph_def.library.function)
    names = Counter(function.signature.name for function in library)
    for name, count in names.items():
        if count > 1:
            yield f"it defines the function {name!r} {count} times"
        if name in ALLOWED_OPERATIONS or hasattr(tf.raw_ops, name) or re.match(r"_[A-Z]", name):
            yield f"a function has the name of the operation {name!r}"
    bodies = [graph.graph_def.node, *(function.node_def for function in library)]
    for body in bodies:
        for node in body:
            if not _LOCAL_DEVICE.fullmatch(node.device):
                yield f"operation {node.name!r} is placed on {node.device!r}"
            for value in node.attr.values():
                for called in (value.func, *value.list.func):
                    if called.name and called.name not in names:
                        yield f"operation {node.name!r} calls {called.name!r}, which it lacks"
    for function in library:
        if any(name in function.attr for name in _REPLACING_ATTRIBUTES):
            yield f"function {function.signature.name!r} may be taken for another one"
        if any(node.op == "VarHandleOp" for node in function.node_def):
            yield f"function {function.signature.name!r} takes variables by name"
    for each in graph.graph_def.library.gradient:
        if not {each.function_name, each.gradient_func} <= set(names):
            yield f"the gradient {each.gradient_func!r} is missing"


def _problems_of_objects(graph: meta_graph_pb2.MetaGraphDef) -> Iterator[str]:
    objects = graph.object_graph_def
    names = {function.signature.name for function in graph.graph_def.library.function}
    for node in objects.nodes:
        kind = node.WhichOneof("kind")
        if kind not in _NODE_KINDS:
            yield f"it holds an object of kind {kind}"
        if node.registered_name or node.registered_saver or node.HasField("serialized_user_proto"):
            yield f"an object belongs to the class {node.registered_name or 'of a saver'!r}"
        if node.saveable_objects or node.slot_variables:
            yield "an object saves and restores itself"
        if kind == "user_object" and node.user_object.identifier not in _USER_OBJECTS:
            yield f"it holds an object of type {node.user_object.identifier!r}"
        if not _LOCAL_DEVICE.fullmatch(node.variable.device):
            yield f"a variable is placed on {node.variable.device!r}"
        if node.variable.experimental_distributed_variable_components:
            yield "a variable lies on several devices"
        called = {
            "function": node.function.concrete_functions,
            "bare_concrete_function": [node.bare_concrete_function.concrete_function_name],
        }.get(kind, ())
        for name in called:
            if name not in names or name not in objects.concrete_functions:
                yield f"an object calls the function {name!r}, which is not described"
    for name in objects.concrete_functions:
        if name not in names:
            yield f"the function {name!r} is missing"


def _saver_functions(graph: meta_graph_pb2.MetaGraphDef) -> dict[str, frozenset[str]]:
    """Function -> operations it may hold, for those that the saver alone mentions."""
    saver = graph.saver_def
    roles = {
        saver.save_tensor_name.partition(":")[0]: SAVE_OPERATIONS,
        saver.restore_op_name: RESTORE_OPERATIONS,
    }
    nodes = [node for node in graph.graph_def.node if node.name in roles]
    called = Counter(node.attr["f"].func.name for node in nodes)
    # The definition is one mention, the call of the saver another one.
    mentions = Counter(name for name in _texts(graph) if name in called)
    return {
        node.attr["f"].func.name: roles[node.name]
        for node in nodes
        if node.attr["f"].func.name
        and called[node.attr["f"].func.name] == 1
        and mentions[node.attr["f"].func.name] == 2
    }


def _problems_of_saver(
    name: str, operations: frozenset[str], graph: meta_graph_pb2.MetaGraphDef
) -> Iterator[str]:
    """Where a function of the saver reads or writes elsewhere than it is told to."""
    function = next(
        each for each in graph.graph_def.library.function if each.signature.name == name
    )
    if not function.signature.input_arg:
        yield f"{name!r} takes no file name"
        return
    prefix = function.signature.input_arg[0].name
    nodes = {node.name: node for node in function.node_def}
    if len(nodes) != len(function.node_def):
        yield f"{name!r} gives two operations the same name"

    def is_told(source: str, depth: int = 0) -> bool:
        """Whether a text is the argument, or the argument and the name of a part."""
        source = source.partition(":")[0]
        if source == prefix and source not in nodes:
            return True
        node = nodes.get(source)
        if node is None or node.op not in _NAME_PASSES or depth > len(nodes):
            return False
        first = [each for each in node.input if not each.startswith("^")]
        most = len(first) if node.op == "Pack" else 1
        return bool(first) and all(is_told(each, depth + 1) for each in first[:most])

    for node in function.node_def:
        if node.op not in operations:
            yield f"{name!r} holds the operation {node.op}"
        for number in _FILE_NAMES.get(node.op, ()):
            if number >= len(node.input) or not is_told(node.input[number]):
                yield f"{name!r} names files of its own"
        if node.op == "StringJoin":
            for each in node.input[1:]:
                if not _is_part(each, nodes):
                    yield f"{name!r} names files of its own"


def _is_part(source: str, nodes: dict) -> bool:
    """Whether a text is one of the two that TensorFlow puts behind the name of a checkpoint."""
    node = nodes.get(source.partition(":")[0])
    if node is None:
        return False
    if node.op == "Select":
        return all(_is_part(each, nodes) for each in node.input[1:3])
    value = node.attr["value"].tensor
    return bool(
        node.op == "Const"
        and not value.tensor_content
        and (list(value.string_val) and set(value.string_val) <= _NAMES_OF_PARTS)
    )


def _texts(message) -> Iterator[str]:
    """All texts of a message and of what is in it, keys of maps included."""
    for field, value in message.ListFields():
        if field.type in (field.TYPE_STRING, field.TYPE_BYTES):
            for each in value if _is_repeated(value) else (value,):
                raw = each.encode() if isinstance(each, str) else each
                if len(raw) <= _MAX_NAME:
                    yield raw.decode(errors="replace")
        elif field.type == field.TYPE_MESSAGE:
            if field.message_type.GetOptions().map_entry:
                for key, each in value.items():
                    if isinstance(key, str):
                        yield key
                    if isinstance(each, str):
                        yield each
                    elif hasattr(each, "ListFields"):
                        yield from _texts(each)
            else:
                for each in value if _is_repeated(value) else (value,):
                    yield from _texts(each)


def _is_repeated(value) -> bool:
    return not (isinstance(value, str | bytes) or hasattr(value, "ListFields"))


def _refuse_links(folder: Path) -> None:
    if not os.path.lexists(folder / "saved_model.pb"):
        raise FileNotFoundError(f"{no_folder(folder) or f'{folder} holds no saved_model.pb'}.")
    for each in _files(folder):
        if not stat.S_ISREG(os.lstat(each).st_mode):
            raise UnsafeExportError(
                f"{each} is a link or no file, exports of this package hold plain files only; "
                "copy the folder with `cp -rL` if you trust what it points to."
            )


def _read(folder: Path, shown: Path | None = None) -> saved_model_pb2.SavedModel:
    """The graph of a folder, or of the copy of the one that is `shown` in messages."""
    _refuse_links(folder)
    file = folder / "saved_model.pb"
    model = saved_model_pb2.SavedModel()
    try:
        model.ParseFromString(read_inside(file, None, MAX_GRAPH))
    except DecodeError:
        raise UnsafeExportError(
            f"{(shown or folder) / file.name} is damaged, it cannot be read as a SavedModel; "
            "export it again."
        ) from None
    return model


def _files(folder: Path) -> list[Path]:
    """What TensorFlow reads of a SavedModel; the folder of variables itself where it is a link."""
    variables = folder / "variables"
    names = [folder / "saved_model.pb", folder / _FINGERPRINT]
    is_folder = variables.is_dir() and not variables.is_symlink()
    names += sorted(variables.iterdir()) if is_folder else [variables]
    return [each for each in names if os.path.lexists(each)]
