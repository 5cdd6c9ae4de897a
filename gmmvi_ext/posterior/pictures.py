"""Pictures of a posterior, and what a notebook shows of it: methods of `Posterior`."""

import html
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from gmmvi_ext.posterior.report.report import Report

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["Pictures"]


class Pictures:
    """Base of `Posterior`; the pictures are those of `gmmvi_ext.plotting`."""

    last_report: Report | None
    report: Callable[..., Report]

    def plot_pairs(self, ax: "Axes | np.ndarray | None" = None, **options: Any) -> np.ndarray:
        """See `plotting.plot_pairs`.

        Example:
            >>> from gmmvi_ext.models import initial_mixture
            >>> names, bijector = {"a": (), "b": ()}, {"b": "positive(base='exp')"}
            >>> posterior = gmmvi_ext.Posterior(
            ...     initial_mixture(2), parameter_names=names, bijector=bijector
            ... )
            >>> axes = posterior.plot_pairs(num_samples=500)
            >>> axes.shape
            (2, 2)
        """
        from gmmvi_ext import plotting

        return plotting.plot_pairs(self, ax, **options)  # type: ignore[arg-type]

    def plot_marginals(self, ax: "Axes | np.ndarray | None" = None, **options: Any) -> np.ndarray:
        """See `plotting.plot_marginals`.

        Example:
            >>> from gmmvi_ext.models import initial_mixture
            >>> names, bijector = {"a": (), "b": ()}, {"b": "positive(base='exp')"}
            >>> posterior = gmmvi_ext.Posterior(
            ...     initial_mixture(2), parameter_names=names, bijector=bijector
            ... )
            >>> axes = posterior.plot_marginals(num_samples=500)
            >>> axes.shape
            (2,)
        """
        from gmmvi_ext import plotting

        return plotting.plot_marginals(self, ax, **options)  # type: ignore[arg-type]

    def plot_components(self, ax: "Axes | np.ndarray | None" = None, **options: Any) -> "Axes":
        """See `plotting.plot_components`.

        Example:
            >>> from gmmvi_ext.gaussians import DiagonalGaussians, Mixture
            >>> components = DiagonalGaussians(tf.constant([[-5.0], [5.0]]), tf.ones([2, 1]))
            >>> posterior = gmmvi_ext.Posterior(Mixture(tf.math.log([0.25, 0.75]), components))
            >>> axes = posterior.plot_components()
            >>> len(axes.patches)
            2
        """
        from gmmvi_ext import plotting

        return plotting.plot_components(self, ax, **options)  # type: ignore[arg-type]

    def plot_density_2d(self, ax: "Axes | np.ndarray | None" = None, **options: Any) -> "Axes":
        """See `plotting.plot_density_2d`.

        Example:
            >>> from gmmvi_ext.models import initial_mixture
            >>> names, bijector = {"a": (), "b": ()}, {"b": "positive(base='exp')"}
            >>> posterior = gmmvi_ext.Posterior(
            ...     initial_mixture(2), parameter_names=names, bijector=bijector
            ... )
            >>> axes = posterior.plot_density_2d(limits=((-3, 3), (0, 6)), grid_size=20)
            >>> axes.get_xlabel(), axes.get_ylabel()
            ('a', 'b')
        """
        from gmmvi_ext import plotting

        return plotting.plot_density_2d(self, ax, **options)  # type: ignore[arg-type]

    def plot_forest(self, ax: "Axes | np.ndarray | None" = None, **options: Any) -> "Axes":
        """See `plotting.plot_forest`.

        Example:
            >>> from gmmvi_ext.models import initial_mixture
            >>> names, bijector = {"a": (), "b": ()}, {"b": "positive(base='exp')"}
            >>> posterior = gmmvi_ext.Posterior(
            ...     initial_mixture(2), parameter_names=names, bijector=bijector
            ... )
            >>> axes = posterior.plot_forest(num_samples=500)
            >>> [label.get_text() for label in axes.get_yticklabels()]
            ['a', 'b']
        """
        from gmmvi_ext import plotting

        return plotting.plot_forest(self, ax, **options)  # type: ignore[arg-type]

    def plot_prior_posterior(
        self, prior: Any = None, ax: "Axes | np.ndarray | None" = None, **options: Any
    ) -> np.ndarray:
        """See `plotting.plot_prior_posterior`.

        Example:
            >>> from tensorflow_probability import distributions as tfd
            >>> from gmmvi_ext.models import initial_mixture
            >>> posterior = gmmvi_ext.Posterior(initial_mixture(1), parameter_names={"a": ()})
            >>> axes = posterior.plot_prior_posterior(
            ...     tfd.JointDistributionNamed({"a": tfd.Normal(0.0, 3.0)}), num_samples=500
            ... )
            >>> axes[0].get_xlabel()
            'a'
        """
        from gmmvi_ext import plotting

        return plotting.plot_prior_posterior(self, prior, ax, **options)  # type: ignore[arg-type]

    def plot_khat(self, ax: "Axes | np.ndarray | None" = None, **options: Any) -> "Axes":
        """See `plotting.plot_khat`.

        Example:
            >>> from gmmvi_ext.models import initial_mixture
            >>> from gmmvi_ext.targets import CallableTarget
            >>> target = CallableTarget(lambda x: -0.5 * tf.reduce_sum(x**2, axis=-1), 2)
            >>> posterior = gmmvi_ext.Posterior(initial_mixture(2, prior_scale=1.3), target=target)
            >>> report = posterior.report(2000)
            >>> axes = posterior.plot_khat()
            >>> axes.get_xscale(), axes.get_yscale()
            ('log', 'log')
        """
        from gmmvi_ext import plotting

        report = self.last_report
        if report is None or not report.log_ratios.size:  # files keep no ratios
            report = self.report()
        return plotting.plot_khat(report, ax, **options)

    def _repr_html_(self) -> str:
        text = f"<p>{html.escape(repr(self))}</p>"
        return text if self.last_report is None else text + self.last_report._repr_html_()
