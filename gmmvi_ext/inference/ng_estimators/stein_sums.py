"""The sums of Stein's estimate over samples n, for all components k at once.

    sum_n w_kn (z, 1) d_n^T,    sum_n w_kn (z, 1) (z, 1)^T,    z = L_k^{-1} (x_n - mu_k),
    d_n = grad log target(x_n) + temperature sum_k gamma_kn L_k^{-T} z_kn

Where few pairs of sample tiles and components matter they are summed pair by pair; otherwise by
products of all samples with all components, which make twice as many operations a second, and with
quadratic forms need half as many.
"""

import tensorflow as tf

from gmmvi_ext.gaussians import FullGaussians
from gmmvi_ext.inference.pairwise import MatrixLogProb
from gmmvi_ext.inference.pairwise.active_pairs import fold_pairs, pair_maps, tile_coordinates
from gmmvi_ext.inference.pairwise.quadratic_forms import LocalForms, QuadraticForms, unpacked
from gmmvi_ext.inference.types import Batch
from gmmvi_ext.math.chunks import PARALLEL_CHUNKS, chunk_rows, even_rows, fold_chunks
from gmmvi_ext.math.linalg import batch_matmul, inverse_lower_triangular

__all__ = ["stein_sums"]

DENSE_SHARE = 0.4  # share of all pairs beyond which dense products are faster (measured on CPU)
# With quadratic forms they are beyond this share: a component costs so much of what its pairs cost
# one by one, and the monomials of the points cost as much as the pairs of so many components.
FORMS_SHARE = 0.12
FORMS_COMPONENTS = 10


def stein_sums(
    components: FullGaussians,
    batch: Batch,
    weights: tf.Tensor,
    gammas: tf.Tensor,
    temperature: tf.Tensor,
    *,
    with_moments: bool,
) -> tuple[tf.Tensor, tf.Tensor | None]:
    """Sums of w (z, 1) d^T [K, D + 1, D] and of w (z, 1) (z, 1)^T [K, D + 1, D + 1].

    Args:
      components: K components.
      batch: samples with gradients and the active pairs, perhaps with quadratic forms.
      weights: w of the pairs, 0 in empty slots.
      gammas: responsibilities of the pairs, 0 in empty slots.
      temperature: scalar.
      with_moments: whether the second sum is asked for; else it is None.
    """
    log_prob, num = batch.component_log_prob, components.num_components
    args = components, batch, weights, gammas, temperature, with_moments
    if isinstance(log_prob, MatrixLogProb):
        sums = _over_matrix(*args)
        return sums if with_moments else (*sums, None)
    num_all = tf.size(log_prob.tiles.label) * num
    share = tf.cast(tf.size(log_prob.pairs.tile), tf.float32) / tf.cast(num_all, tf.float32)
    dense_share = DENSE_SHARE
    if log_prob.forms is not None:
        with_forms = FORMS_SHARE + FORMS_COMPONENTS / tf.cast(num, tf.float32)
        dense_share = tf.minimum(with_forms, DENSE_SHARE)
    sums = tf.cond(share > dense_share, lambda: _over_all(*args), lambda: _over_pairs(*args))
    return sums if with_moments else (*sums, None)


def _over_pairs(components, batch, weights, gammas, temperature, with_moments) -> tuple:
    """Tile by tile: all pairs of a tile give its scores, hence d, and then their shares."""
    dim, num = components.num_dimensions, components.num_components
    inverse = inverse_lower_triangular(components.scale_tril)
    tiles, pairs = batch.component_log_prob.tiles, batch.component_log_prob.pairs
    coordinates = tile_coordinates(components, batch.x, tiles)
    grads = tiles.to_slots(batch.target_log_prob_grad)  # [B, T, D]

    def add(state, run):
        tile, component = run.tile, run.component
        label = tf.gather(tiles.label[run.tiles], tile)
        maps = pair_maps(components, inverse, label, component, with_one=True)
        z = batch_matmul(tf.gather(coordinates[run.tiles], tile), maps, transpose_b=True)
        # The products with the last column are dropped from the sums: slicing maps costs more.
        pulled = batch_matmul(tf.expand_dims(run.of(gammas), -1) * z, maps)
        d = _finite(grads[run.tiles] + temperature * tf.math.segment_sum(pulled, tile)[..., :-1])
        wz = tf.expand_dims(run.of(weights), -1) * z
        new = [batch_matmul(wz, tf.gather(d, tile), transpose_a=True)]
        if with_moments:
            new.append(batch_matmul(wz, z, transpose_a=True))
        return tuple(
            old + tf.math.unsorted_segment_sum(part, component, num)
            for old, part in zip(state, new, strict=True)
        )

    zeros = _zeros(components, with_moments)
    return fold_pairs(add, zeros, tiles, pairs, tf.shape(tiles.index)[1] * dim)


def _over_all(components, batch, weights, gammas, temperature, with_moments) -> tuple:
    """All tiles with all components; sums over components lie inside the products.

    By quadratic forms where they are given and accurate, else by whitened differences.
    """
    dim, num = components.num_dimensions, components.num_components
    log_prob = batch.component_log_prob
    tiles, pairs, forms = log_prob.tiles, log_prob.pairs, log_prob.forms
    num_tiles, tile_size = tf.unstack(tf.shape(tiles.index))
    order = place = tf.range(num_tiles)
    elements = num * (dim + 1)
    zeros = _zeros(components, with_moments)
    form_zeros = ()
    if forms is not None:
        order, place = forms.tile_order(tiles)
        elements = forms.chunk_elements(elements)
        form_zeros = _zero_form_sums(forms, with_moments)
    size = even_rows(num_tiles, tile_size * elements)
    # The row of each (component, tile), [K, B]: the first one, of zeros, where there is no pair.
    where = tf.stack([pairs.component, tf.gather(place, pairs.tile)], axis=1)
    row = tf.scatter_nd(where, tf.range(1, tf.size(pairs.tile) + 1), [num, num_tiles])
    weights, gammas = (tf.pad(each, [[1, 0], [0, 0]]) for each in (weights, gammas))
    whitened = _Whitened(components)

    def add(first, state):
        chunk = slice(first, first + size)
        index = tf.reshape(tf.gather(tiles.index, order[chunk]), [-1])
        points, grads = tf.gather(batch.x, index), tf.gather(batch.target_log_prob_grad, index)
        rows = row[:, chunk]
        if forms is not None:  # of the components that the chunk has pairs with
            near = tf.cast(tf.where(tf.reduce_any(rows > 0, axis=1))[:, 0], tf.int32)
            rows = tf.gather(rows, near)
        w, gamma = (
            tf.reshape(tf.gather(each, rows), [-1, tf.size(index)]) for each in (weights, gammas)
        )

        def placed(sums, component):
            return tuple(tf.math.unsorted_segment_sum(each, component, num) for each in sums)

        if forms is None:
            z, pulled = whitened.pulled(points, gamma)
            parts = _whitened_sums(z, w, _finite(grads + temperature * pulled), with_moments), ()
        else:
            is_used = tf.repeat(tf.gather(tiles.is_used[:, 0], order[chunk]), tile_size)
            near_forms = forms.subset(near)
            local = near_forms.around(points, is_used)
            others = tf.gather(near, local.ill_conditioned)
            z, pulled = whitened.pulled(points, tf.gather(gamma, local.ill_conditioned), others)
            pulled += _form_pulled(near_forms, local, gamma)
            d = _finite(grads + temperature * pulled)
            w_others = tf.gather(w, local.ill_conditioned)
            other_sums = _whitened_sums(z, w_others, d, with_moments)
            form_sums = _form_sums(local, w, d, with_moments)
            parts = placed(other_sums, others), placed(form_sums, near)
        return first + size, tf.nest.map_structure(tf.add, state, parts)

    _, (sums, form_sums) = tf.while_loop(
        lambda first, _: first < num_tiles,
        add,
        (0, (zeros, form_zeros)),
        parallel_iterations=PARALLEL_CHUNKS,
    )
    if forms is None:
        return sums
    return tf.nest.map_structure(tf.add, sums, _from_frame(forms, form_sums))


def _over_matrix(components, batch, weights, gammas, temperature, with_moments) -> tuple:
    """All samples with all components, for weights and responsibilities [N, K]."""
    whitened = _Whitened(components)

    def add(state, x, grads, weights, gammas):
        z, pulled = whitened.pulled(x, tf.transpose(gammas))
        d = _finite(grads + temperature * pulled)
        new = _whitened_sums(z, tf.transpose(weights), d, with_moments)
        return tuple(old + part for old, part in zip(state, new, strict=True))

    rows = chunk_rows(components.num_components * (components.num_dimensions + 1))
    arrays = [batch.x, batch.target_log_prob_grad, weights, gammas]
    return fold_chunks(add, _zeros(components, with_moments), arrays, rows)


class _Whitened:
    """Whitened differences (z, 1) of points, for some components.

    Differences before products: a narrow component far from the others keeps its digits.
    """

    def __init__(self, components: FullGaussians):
        self._dim = dim = components.num_dimensions
        inverse = inverse_lower_triangular(components.scale_tril)
        corner = tf.linalg.diag(tf.one_hot(dim, dim + 1, dtype=inverse.dtype))
        # (x - mu, 1) to (z, 1)
        self._maps = tf.pad(inverse, [[0, 0], [0, 1], [0, 1]]) + corner
        self._loc = tf.expand_dims(tf.pad(components.loc, [[0, 0], [0, 1]]), 2)

    def pulled(self, x, gammas, index=None) -> tuple[tf.Tensor, tf.Tensor]:
        """(z, 1) of points [n, D] for components [R] (all if None), and sum_k gamma L^{-T} z:
        [R, D + 1, n] and [n, D]; gammas [R, n]."""
        num = tf.shape(x)[0]
        x = tf.transpose(tf.pad(x, [[0, 0], [0, 1]], constant_values=1.0))
        maps, loc = self._maps, self._loc
        if index is not None:
            maps, loc = tf.gather(maps, index), tf.gather(loc, index)
        z = batch_matmul(maps, x - loc)
        stacked = tf.reshape(maps, [-1, self._dim + 1])[:, :-1]  # [R (D + 1), D]
        weighted = tf.reshape(tf.expand_dims(gammas, 1) * z, [tf.shape(stacked)[0], num])
        return z, tf.matmul(weighted, stacked, transpose_a=True)


def _whitened_sums(z, weights, d, with_moments) -> tuple:
    """The sums of `stein_sums` over points, from (z, 1) [R, D + 1, n], w [R, n] and d [n, D]."""
    width, num = z.shape[1], tf.shape(z)[2]
    wz = tf.expand_dims(weights, 1) * z
    flat = tf.reshape(wz, [tf.shape(z)[0] * width, num])
    cross = tf.reshape(tf.matmul(flat, d), [-1, width, width - 1])
    return (cross, batch_matmul(wz, z, transpose_b=True)) if with_moments else (cross,)


def _form_pulled(forms: QuadraticForms, local: LocalForms, gammas) -> tf.Tensor:
    """sum_k gamma L^{-T} z over the components that are not ill-conditioned, [n, D]."""
    dim = local.y.shape[0]
    slopes = tf.concat([forms.upper(), local.slope], axis=1)
    # No product with zero: the forms of a degenerate component may not be finite.
    is_accurate = tf.expand_dims(local.is_accurate > 0, 1)
    slopes = tf.where(is_accurate, slopes, 0)
    mixed = tf.matmul(slopes, gammas, transpose_a=True)  # sum_k gamma (B, B m)
    curved = unpacked(mixed[:-dim], dim) * local.y
    pulled = tf.reduce_sum(curved, axis=1) - mixed[-dim:]
    return tf.matmul(pulled, forms.whiten, transpose_a=True)


def _form_sums(local: LocalForms, weights, d, with_moments) -> tuple:
    """The sums of `_zero_form_sums`, of the components that are not ill-conditioned.

    Differences are taken from sums over points around their center.
    """
    y, loc = local.y, local.loc
    dim, num = y.shape[0], tf.shape(y)[1]
    weights = weights * tf.expand_dims(local.is_accurate, 1)
    products = tf.reshape(tf.expand_dims(y, 1) * tf.transpose(d), [dim * dim, num])
    sum_d = tf.expand_dims(tf.matmul(weights, d), 1)
    cross = tf.reshape(tf.matmul(weights, products, transpose_b=True), [-1, dim, dim])
    cross = tf.concat([cross - tf.expand_dims(loc, 2) * sum_d, sum_d], axis=1)
    if not with_moments:
        return (cross,)
    squares = tf.matmul(weights, local.monomials(), transpose_b=True)
    sum_y = tf.matmul(weights, y, transpose_b=True)
    total = tf.reduce_sum(weights, axis=1, keepdims=True)
    rest = sum_y - total * loc  # sum w (y - m)
    # sum w (y - m) (y - m)^T = sum w y y^T - m (sum w y)^T - (sum w (y - m)) m^T
    shift = tf.expand_dims(loc, 2) * tf.expand_dims(sum_y, 1)
    shift += tf.expand_dims(rest, 2) * tf.expand_dims(loc, 1)
    bordered = tf.concat([-shift, tf.expand_dims(rest, 2)], axis=2)
    last = tf.expand_dims(tf.concat([rest, total], axis=1), 1)
    return cross, squares, tf.concat([bordered, last], axis=1)


def _zero_form_sums(forms: QuadraticForms, with_moments) -> tuple:
    """Zeros: sums of w (y - m, 1) d^T, of w y_i y_j, and what the latter lack to those of
    w (y - m, 1) (y - m, 1)^T."""
    num, dim = tf.unstack(tf.shape(forms.loc))
    shapes = [num, dim + 1, dim], tf.shape(forms.squares), [num, dim + 1, dim + 1]
    zeros = tuple(tf.zeros(shape, forms.loc.dtype) for shape in shapes)
    return zeros if with_moments else zeros[:1]


def _from_frame(forms: QuadraticForms, sums: tuple) -> tuple:
    """The sums of `stein_sums` from those in the frame: z = A (y - m)."""
    dim = forms.loc.shape[1]
    corner = tf.linalg.diag(tf.one_hot(dim, dim + 1, dtype=forms.loc.dtype))
    maps = tf.pad(forms.maps, [[0, 0], [0, 1], [0, 1]]) + corner
    cross = tf.matmul(maps, sums[0])
    if len(sums) == 1:
        return (cross,)
    squares = tf.transpose(unpacked(tf.transpose(sums[1]), dim), [2, 0, 1])
    moments = tf.pad(squares, [[0, 0], [0, 1], [0, 1]]) + sums[2]
    return cross, tf.matmul(tf.matmul(maps, moments), maps, transpose_b=True)


def _finite(d: tf.Tensor) -> tf.Tensor:
    """Gradients without those that are not finite: such samples have no influence."""
    return tf.where(tf.math.is_finite(d), d, tf.zeros_like(d))


def _zeros(components: FullGaussians, with_moments: bool) -> tuple:
    """Where the sums start."""
    dim, num = components.num_dimensions, components.num_components
    widths = (dim, dim + 1) if with_moments else (dim,)
    return tuple(tf.zeros(tf.stack([num, dim + 1, each]), components.dtype) for each in widths)
