"""Linear regression whose coefficients have priors, so that little or no data is no problem.

Coefficients of groups (a run, a task) are drawn towards zero by a variance of their own; how large it is against the
residual's is not known and so is summed over a grid, each point weighted by how well it explains the data.  Everything
else is the textbook's conjugate case (normal and inverse gamma: Gelman and others, Bayesian Data Analysis, chapter 14).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Matrix = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Prior:
    """What is assumed before any row: coefficients, how sure they are, and the spread of the residuals.

    ``coefficients`` and ``variances`` have one entry a column of the design; a variance is a multiple of the
    residual's.  ``spread`` is the residual's standard deviation, worth ``rows`` rows.
    """

    coefficients: Matrix
    variances: Matrix
    spread: float
    rows: float


@dataclass(frozen=True, slots=True)
class _Fit:
    """The posterior at one point of the grid; ``evidence`` is the logarithm of its weight."""

    mean: Matrix
    root: Matrix
    scatter: float
    freedom: float
    evidence: float


class Regression:
    """The posterior over all points of the grid, from which new rows are drawn."""

    def __init__(self, design: Matrix, target: Matrix, prior: Prior, grid: Sequence[Matrix]) -> None:
        """Fit to rows of a design and their target; each point of the grid multiplies the prior's variances."""
        self._fits = [_fitted(design, target, prior, prior.variances * factors) for factors in grid]
        evidence = np.array([fit.evidence for fit in self._fits])
        weights = np.exp(evidence - evidence.max())
        self._weights = weights / weights.sum()

    def draw(self, design: Matrix, more: Sequence[Matrix], times: int, chance: np.random.Generator) -> Matrix:
        """Targets of new rows, one row of the result a draw: coefficients, spread and residuals are drawn anew.

        ``more`` are further columns, the last of the design that was fitted, of which each draw has its own.
        """
        drawn = np.empty((times, len(design)))
        which = chance.choice(len(self._fits), times, p=self._weights)
        for number, fit in enumerate(self._fits):
            at = np.flatnonzero(which == number)
            spread = np.sqrt(fit.scatter / chance.chisquare(fit.freedom, len(at)))[:, None]
            coefficients = fit.mean + spread * (chance.standard_normal((len(at), len(fit.mean))) @ fit.root.T)
            middles = coefficients[:, : design.shape[1]] @ design.T
            for place, column in enumerate(more, design.shape[1]):
                middles += coefficients[:, [place]] * column[at]
            drawn[at] = middles + spread * chance.standard_normal(middles.shape)
        return drawn


def _fitted(design: Matrix, target: Matrix, prior: Prior, variances: Matrix) -> _Fit:
    lower = np.linalg.cholesky(design.T @ design + np.diag(1 / variances))
    right = design.T @ target + prior.coefficients / variances
    mean = np.linalg.solve(lower.T, np.linalg.solve(lower, right))
    residual, shift = target - design @ mean, mean - prior.coefficients
    scatter = float(prior.rows * prior.spread**2 + residual @ residual + shift @ (shift / variances))
    freedom = prior.rows + len(design)
    evidence = -np.log(np.diag(lower)).sum() - np.log(variances).sum() / 2 - freedom / 2 * np.log(scatter)
    return _Fit(mean, np.linalg.inv(lower).T, scatter, freedom, float(evidence))
