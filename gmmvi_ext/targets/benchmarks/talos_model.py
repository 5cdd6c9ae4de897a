"""Forward kinematics of the humanoid TALOS: 28 joints on a free base, vectorized, differentiable.

All joint axes are coordinate axes, so a joint mixes two columns of the rotation matrix and leaves
the third alone. Frames are kept as three columns and a position, each [S, 3, N]; the right and the
left limb are handled together (S = 2, in this order). Nothing but sums and products: any dtype, any
compiler.

Lengths in meters, masses in kilograms. The center of mass is that of the benchmark: four chains
from the base to the grippers and soles are summed, hence both torso links count twice, and the base
link is left out; the wrist sensor and tool weigh one kilogram each.
"""

from typing import NamedTuple

import tensorflow as tf

__all__ = ["JOINT_LIMITS", "JOINT_NAMES", "Posture", "forward_kinematics"]

X_AXIS, Y_AXIS, Z_AXIS = 0, 1, 2


class Link(NamedTuple):
    """A link and the joint before it; pairs of limbs give (right, left).

    Attributes:
      origin: translation from the parent frame, one (x, y, z) per side.
      axis: axis of the joint, or None where it is fixed.
      mass: of the link.
      center: center of mass in the link's frame, one (x, y, z) per side.
    """

    origin: tuple[tuple[float, float, float], ...]
    axis: int | None
    mass: float
    center: tuple[tuple[float, float, float], ...]


def _both(x: float, y: float, z: float) -> tuple:
    return ((x, y, z), (x, y, z))


def _mirrored(x: float, y: float, z: float) -> tuple:
    """The given vector is the right one; the left one has the opposite y."""
    return ((x, y, z), (x, -y, z))


_ORIGIN = _both(0.0, 0.0, 0.0)

TORSO = (
    Link(((0.0, 0.0, 0.0722),), Z_AXIS, 3.02433, ((0.00013, -0.00001, -0.01306),)),
    Link(((0.0, 0.0, 0.0),), Y_AXIS, 17.55011, ((-0.04551, -0.00053, 0.16386),)),
)
ARMS = (
    Link(_mirrored(0.0, -0.1575, 0.232), Z_AXIS, 1.42896, _mirrored(-0.01346, -0.0913, 0.04812)),
    Link(_mirrored(0.00493, -0.1365, 0.04673), X_AXIS, 1.67729, _both(0.02607, 0.00049, -0.05209)),
    Link(_ORIGIN, Z_AXIS, 1.47029, _both(0.00841, 0.01428, -0.22291)),
    Link(_both(0.02, 0.0, -0.273), Y_AXIS, 1.10216, _both(-0.00655, -0.02107, -0.02612)),
    Link(_both(-0.02, 0.0, -0.2643), Z_AXIS, 1.77792, _both(-0.00006, 0.00326, 0.07963)),
    Link(_ORIGIN, X_AXIS, 0.30931, _both(0.00002, -0.00197, -0.00059)),
    Link(_ORIGIN, Y_AXIS, 0.308441, _both(0.007525, 0.001378, -0.024630)),
    # Fixed: sensor, tool, gripper. Their yaws add up to -pi (right) and 0 (left); they lie on the z
    # axis, so only the center of mass of the gripper notices, and it is written down turned.
    Link(_both(0.0, 0.0, -0.051), None, 1.0, _ORIGIN),
    Link(_both(0.0, 0.0, -0.012725), None, 1.0, _ORIGIN),
    Link(
        _both(0.0, 0.0, -0.02875),
        None,
        0.61585,
        ((0.00534, -0.00362, -0.02357), (-0.00534, 0.00362, -0.02357)),
    ),
)
LEGS = (
    Link(_mirrored(-0.02, -0.085, -0.27105), Z_AXIS, 1.88569, _both(0.0232, -0.00009, 0.04949)),
    Link(_ORIGIN, X_AXIS, 2.37607, _both(0.01583, -0.00021, 0.00619)),
    Link(_ORIGIN, Y_AXIS, 6.82734, _mirrored(0.00658, -0.06563, -0.17278)),
    Link(_both(0.0, 0.0, -0.38), Y_AXIS, 3.63668, _mirrored(0.0152, -0.02331, -0.12063)),
    Link(_both(0.0, 0.0, -0.325), Y_AXIS, 1.24433, _mirrored(-0.01106, -0.04708, 0.05271)),
    Link(_ORIGIN, X_AXIS, 1.59457, _both(-0.02087, -0.00019, -0.06059)),
    Link(_both(0.0, 0.0, -0.107), None, 0.01, _ORIGIN),
)

JOINT_NAMES = (
    *(f"torso_{i}" for i in (1, 2)),
    *(f"arm_{side}_{i}" for side in ("right", "left") for i in range(1, 8)),
    *(f"leg_{side}_{i}" for side in ("right", "left") for i in range(1, 7)),
)

_ARM_LIMITS = (  # joints 3 to 7, the same on both sides
    (-2.443461, 2.443461),
    (-2.356194, 0.0),
    (-2.530727, 2.530727),
    (-1.396263, 1.396263),
    (-0.698132, 0.698132),
)
_LEG_LIMITS = (  # joints 2 to 6
    (-0.5236, 0.5236),
    (-2.095, 0.7),
    (0.0, 2.618),
    (-1.309, 0.768),
    (-0.5236, 0.5236),
)
JOINT_LIMITS = (
    (-1.308997, 1.308997),
    (-0.261799, 0.785398),
    *((-0.523599, 1.570796), (-2.879793, 0.0), *_ARM_LIMITS),
    *((-1.570796, 0.523599), (0.0, 2.879793), *_ARM_LIMITS),
    *((-1.570796, 0.349066), *_LEG_LIMITS),
    *((-0.349066, 1.570796), *_LEG_LIMITS),
)


class Frame(NamedTuple):
    """Pose of S links: columns of the rotation matrix and position, each [S, 3, N]."""

    columns: tuple[tf.Tensor, tf.Tensor, tf.Tensor]
    position: tf.Tensor

    def rotated(self, axis: int, cos: tf.Tensor, sin: tf.Tensor) -> "Frame":
        """Turned about an own axis by angles given as cosine and sine, [S, 1, N]."""
        columns = list(self.columns)
        j, k = (axis + 1) % 3, (axis + 2) % 3
        columns[j] = cos * self.columns[j] + sin * self.columns[k]
        columns[k] = cos * self.columns[k] - sin * self.columns[j]
        return Frame(tuple(columns), self.position)

    def direction(self, vectors) -> tf.Tensor | None:
        """Vectors of the own frames, one (x, y, z) per side, seen from the world; None for zero."""
        total = None
        for axis in range(3):
            values = [vector[axis] for vector in vectors]
            if any(values):
                factor = tf.constant(values, self.position.dtype)[:, tf.newaxis, tf.newaxis]
                term = factor * self.columns[axis]
                total = term if total is None else total + term
        return total

    def moved(self, vectors) -> "Frame":
        """Shifted by vectors of the own frames."""
        shift = self.direction(vectors)
        return self if shift is None else Frame(self.columns, self.position + shift)


class Posture(NamedTuple):
    """What a configuration of the joints amounts to.

    Attributes:
      center_of_mass: [3, N].
      gripper: positions of the right and left gripper, [2, 3, N].
      sole: positions of the right and left sole, [2, 3, N].
      sole_rotation: rotation matrices of the soles, rows times columns, [2, 3, 3, N].
      limbs: joint positions along torso, arms and legs, for drawing: lists of [S, 3, N].
    """

    center_of_mass: tf.Tensor
    gripper: tf.Tensor
    sole: tf.Tensor
    sole_rotation: tf.Tensor
    limbs: dict[str, list[tf.Tensor]]


def forward_kinematics(x: tf.Tensor) -> Posture:
    """Posture of configurations.

    Args:
      x: [N, 34]: joint angles in the order of `JOINT_NAMES`, base position, roll, pitch, yaw.
    """
    rows = tf.transpose(x)  # [34, N]
    angles = tf.concat([rows[:28], rows[31:]], axis=0)
    cos, sin = tf.cos(angles), tf.sin(angles)  # [31, N]
    eye = tf.eye(3, dtype=x.dtype)
    columns = tuple(eye[:, i, tf.newaxis][tf.newaxis] for i in range(3))  # [1, 3, 1]
    base = Frame(columns, rows[tf.newaxis, 28:31])
    for axis, index in ((Z_AXIS, 30), (Y_AXIS, 29), (X_AXIS, 28)):
        base = base.rotated(
            axis, cos[tf.newaxis, index : index + 1], sin[tf.newaxis, index : index + 1]
        )

    def limb(start: int, sides: int, count: int):
        """Cosines and sines of `sides` limbs with `count` joints, [sides, count, N] each."""
        part = slice(start, start + sides * count)
        shape = [sides, count, -1]
        return tf.reshape(cos[part], shape), tf.reshape(sin[part], shape)

    torso, torso_moment, torso_points = _follow(base, TORSO, *limb(0, 1, 2))
    hand, arm_moment, arm_points = _follow(torso, ARMS, *limb(2, 2, 7))
    foot, leg_moment, leg_points = _follow(base, LEGS, *limb(16, 2, 6))
    moment = 2.0 * torso_moment[0] + tf.reduce_sum(arm_moment + leg_moment, axis=0)
    mass = 2.0 * sum(link.mass for link in (*TORSO, *ARMS, *LEGS))
    limbs = {"torso": torso_points, "arms": arm_points, "legs": leg_points}
    rotation = tf.stack(foot.columns, axis=2)  # [2, 3 (row), 3 (column), N]
    return Posture(moment / mass, hand.position, foot.position, rotation, limbs)


def _follow(frame: Frame, links, cos: tf.Tensor, sin: tf.Tensor):
    """Last frame of a chain, its sum of mass times position [S, 3, N], and its joint positions."""
    moment, joint, points = 0.0, 0, [frame.position]
    for link in links:
        frame = frame.moved(link.origin)
        points.append(frame.position)
        if link.axis is not None:
            angle = slice(joint, joint + 1)
            frame = frame.rotated(link.axis, cos[:, angle], sin[:, angle])
            joint += 1
        weighted = [tuple(link.mass * value for value in center) for center in link.center]
        offset = frame.direction(weighted)
        moment += link.mass * frame.position
        if offset is not None:
            moment += offset
    return frame, moment, points
