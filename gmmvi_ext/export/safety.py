"""Which operations an export may contain.

A SavedModel is a program. Ours are arithmetic on tensors, so everything else (files, network,
Python calls, process control, assets) is refused before the file is loaded.
"""

from pathlib import Path

from tensorflow.core.protobuf import saved_model_pb2

__all__ = ["ALLOWED_OPERATIONS", "UnsafeExportError", "check_operations", "operations_of"]

ALLOWED_OPERATIONS = frozenset(
    """
    Abs Add AddN AddV2 All Any ArgMax ArgMin Asin Assert Atan BatchMatMul BatchMatMulV2
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
# The functions that save and restore a SavedModel's own variables hold these, and only those two.
CHECKPOINT_OPERATIONS = frozenset(
    """
    AssignVariableOp DisableCopyOnRead MergeV2Checkpoints RestoreV2 SaveV2 ShardedFilename
    StaticRegexFullMatch StringJoin
    """.split()
)


class UnsafeExportError(ValueError):
    """An export holds an operation that ours never hold."""


def operations_of(path) -> set[str]:
    """Names of the operations in the SavedModel folder `path`, without loading it.

    Checkpoint operations count only where they are not confined to the saver's own functions.
    """
    found = set()
    for graph in _read(path).meta_graphs:
        library = {f.signature.name: f for f in graph.graph_def.library.function}
        saver = _saver_functions(graph, library)
        found |= {node.op for node in graph.graph_def.node} - set(library)
        for name, function in library.items():
            allowed = CHECKPOINT_OPERATIONS if name in saver else frozenset()
            found |= {node.op for node in function.node_def} - allowed - set(library)
    return found


def check_operations(path) -> None:
    """Refuses a SavedModel with operations outside the allow-list, or with assets.

    Raises:
      UnsafeExportError: names the operations.
    """
    unknown = sorted(operations_of(path) - ALLOWED_OPERATIONS)
    if unknown:
        raise UnsafeExportError(
            f"{path}: operations {', '.join(unknown)} are not on the list of exports of this "
            "package; the file was not loaded. If you made it yourself with an unusual bijector, "
            "`tf.saved_model.load` reads it at your own risk."
        )
    if any(graph.asset_file_def for graph in _read(path).meta_graphs):
        raise UnsafeExportError(f"{path}: the model refers to asset files, exports never do.")


def _saver_functions(graph, library) -> set[str]:
    """Functions that only the saver calls: nothing a user can run reaches them."""
    saver = graph.saver_def
    nodes = {saver.save_tensor_name.split(":")[0], saver.restore_op_name}
    called = {n.attr["f"].func.name for n in graph.graph_def.node if n.name in nodes}
    reachable = set(graph.object_graph_def.concrete_functions)
    others = [node for node in graph.graph_def.node if node.name not in nodes]
    for function in library.values():
        others += function.node_def
    for node in others:
        reachable |= {node.op}
        for value in node.attr.values():
            reachable |= {value.func.name, *(each.name for each in value.list.func)}
    return called - reachable


def _read(path):
    file = Path(path) / "saved_model.pb"
    if not file.exists():
        raise FileNotFoundError(f"{path} holds no saved_model.pb.")
    model = saved_model_pb2.SavedModel()
    model.ParseFromString(file.read_bytes())
    return model
