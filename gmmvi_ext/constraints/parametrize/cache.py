"""When a computed value may be read again, and when it must be computed anew.

Graphs. An entry lives on the FuncGraph it was computed in and dies with it. It serves reads in that
graph and in the loop and branch bodies inside it, as long as no operation built since then can
write an original. Writes are found by looking at the graph itself: any operation that takes the
variable's handle and is not known to read only. Assignments by optimizers, by raw operations and by
called functions are all seen; an unknown operation costs one more evaluation, never a stale value.

Eager. Entries live inside `cached()`, per thread, with a copy of the originals; a read compares the
copies with the variables (cheap beside f), so a change by whatever means is seen.

Both. A value is of use only to tapes that watched its computation: an entry is taken if the active
tapes watch it as they would watch a fresh read of the originals. Otherwise the gradient would be
None.
"""

import contextlib
import threading
import weakref
from collections.abc import Callable, Iterator

import tensorflow as tf
from tensorflow.python import pywrap_tfe

__all__ = ["cached", "read", "tf_variable"]

READERS = frozenset(
    {
        "ReadVariableOp",
        "VariableShape",
        "VarIsInitializedOp",
        "ResourceGather",
        "ResourceGatherNd",
    }
)
ENTRIES = "_gmmvi_ext_parametrized_values"
BODIES = ("CondBranchFuncGraph", "WhileBodyFuncGraph", "WhileCondFuncGraph")


class _Scopes(threading.local):
    depth = 0

    def __init__(self):
        self.entries = {}


_SCOPES = _Scopes()
# owner: value, of those that are invalidated by hand
_HELD: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()


@contextlib.contextmanager
def cached() -> Iterator[None]:
    """Inside, eager reads of parametrized values are computed once per value of the originals.

    Re-entrant and per thread. Traced functions need no scope: they always compute once.

    Example:
        >>> from gmmvi_ext.constraints import parametrize
        >>> module = tf.Module()
        >>> module.w = tf.Variable(tf.eye(3))
        >>> module = parametrize.register_parametrization(module, "w", parametrize.Symmetric())
        >>> with parametrize.cached():
        ...     print(module.w is module.w)  # computed once
        True
    """
    _SCOPES.depth += 1
    try:
        yield
    finally:
        _SCOPES.depth -= 1
        if _SCOPES.depth == 0:
            _SCOPES.entries.clear()


def read(
    owner, originals: list[tf.Variable], compute: Callable[[], tf.Tensor], *, held: bool = False
) -> tf.Tensor:
    """`compute()`, or its value from before if that is still right.

    Args:
      owner: identifies the value; compared by identity.
      originals: the variables that `compute` reads.
      compute: function without arguments.
      held: whether an eager value stays until `forget`, whatever happens to the originals.
    """
    if tf.executing_eagerly() and held:
        value = _HELD.get(owner)
        if value is None or _watched(value) != _watched_fresh(originals):
            value = _HELD[owner] = compute()
        return value
    if tf.executing_eagerly():
        return _read_eager(owner, originals, compute) if _SCOPES.depth else compute()
    return _read_in_graph(owner, originals, compute)


def forget(owner) -> None:
    """Drops what is stored for `owner` in this thread and in the current graph."""
    _SCOPES.entries.pop(id(owner), None)
    _HELD.pop(owner, None)
    if not tf.executing_eagerly():
        for graph in _enclosing(tf.compat.v1.get_default_graph()):
            _entries_of(graph).pop(id(owner), None)


def _read_eager(owner, originals, compute):
    entry = _SCOPES.entries.get(id(owner))
    now = [tf.convert_to_tensor(each) for each in originals]
    if entry is not None:
        value, before, _ = entry
        same = all(bool(tf.reduce_all(a == b)) for a, b in zip(before, now, strict=True))
        if same and _watched(value) == _watched_fresh(originals):
            return value
    value = compute()
    copies = [tf.identity(tf.stop_gradient(each)) for each in now]
    # The owner is held, so that its id stays its own.
    _SCOPES.entries[id(owner)] = (value, copies, owner)
    return value


def _read_in_graph(owner, originals, compute):
    graph = tf.compat.v1.get_default_graph()
    chain = _enclosing(graph)
    for depth, holder in enumerate(chain):
        entry = _entries_of(holder).get(id(owner))
        if entry is None:
            continue
        value, position, _ = entry
        starts = [0] * depth + [position]
        written = any(
            _writes(each, start, originals)
            for each, start in zip(chain[: depth + 1], starts, strict=True)
        )
        if not written and _watched(value) == _watched_fresh(originals):
            return value
        break
    value = compute()
    _entries_of(graph)[id(owner)] = (value, len(graph.get_operations()), owner)
    return value


def _entries_of(graph) -> dict:
    """The entries on a graph: held by the graph, so that they are collected with it."""
    entries = getattr(graph, ENTRIES, None)
    if entries is None:
        entries = {}
        setattr(graph, ENTRIES, entries)
    return entries


def _enclosing(graph) -> list:
    """The graph and those whose tensors it may capture: up to the innermost function body."""
    chain = [graph]
    while type(chain[-1]).__name__ in BODIES:
        outer = chain[-1].outer_graph
        if not hasattr(outer, "captures"):
            break
        chain.append(outer)
    return chain


def _writes(graph, start: int, originals) -> bool:
    """Whether an operation from position `start` on may write one of the originals."""
    handles = {id(tf_variable(each).handle) for each in originals}
    aliases = _aliases(graph, handles)
    if not aliases:
        return False
    return any(
        op.type not in READERS and any(id(tensor) in aliases for tensor in op.inputs)
        for op in graph.get_operations()[start:]
    )


def _aliases(graph, handles: set[int]) -> set[int]:
    """Ids of the tensors by which `graph` knows the handles."""
    if not hasattr(graph, "captures"):
        return handles
    outer = getattr(graph, "outer_graph", None)
    known = handles | (_aliases(outer, handles) if outer is not None else set())
    return {id(inside) for outside, inside in graph.captures if id(outside) in known}


def tf_variable(original) -> tf.Variable:
    """The tf.Variable inside a keras.Variable, or the variable itself."""
    return original if isinstance(original, tf.Variable) else original._value


def _watched(tensor) -> int:
    """0, 1 or 2: no tape, one tape, several tapes watch the tensor."""
    return pywrap_tfe.TFE_Py_TapeSetPossibleGradientTypes([tensor])


def _watched_fresh(originals) -> int:
    return max(_watched(tf.identity(tf_variable(each))) for each in originals)
