"""Bootstrap intervals and permutation tests, clustered."""

from collections.abc import Sequence
from typing import Literal, final

from typing_extensions import Buffer  # in collections.abc from Python 3.12 on

@final
class Interval:
    """A point estimate with its bootstrap interval. One cluster alone gives an interval of width 0."""
    @property
    def value(self) -> float:
        """The statistic of the items themselves."""
    @property
    def low(self) -> float: ...
    @property
    def high(self) -> float: ...
    @property
    def standard_error(self) -> float:
        """Standard deviation of the replicates."""

@final
class Curve:
    """A bootstrapped curve."""
    @property
    def points(self) -> list[Interval]:
        """At each point its own interval."""
    @property
    def band(self) -> list[tuple[float, float]]:
        """The ends of a band that holds the whole curve with the given level.

        `value -+ c * standard_error`, with the quantile c of the largest standardised deviation over the points
        ("sup-t", Montiel Olea & Plagborg-Moller 2019).
        """
    def __len__(self) -> int: ...

def bootstrap_ratio(
    numerators: Buffer | Sequence[float],
    denominators: Buffer | Sequence[float],
    clusters: Buffer | Sequence[int],
    *,
    replicates: int = 10_000,
    level: float = 0.95,
    seed: int = 0,
    method: Literal["percentile", "bca"] = "percentile",
) -> Interval:
    """Interval of `sum(numerators) / sum(denominators)`, whole clusters resampled with replacement.

    A mean has denominators of 1; F1 is `2 * hits / (emitted + targets)`. Replicates whose denominator is 0 are
    left out. `"bca"` corrects the tails for bias and skewness (Efron 1987; the acceleration from the jackknife over
    clusters). Counter-based random numbers: the same seed gives the same replicates everywhere.

    Arrays of float64 and int64 are copied at once, other sequences number by number.

    Raises `ValueError` if there are no items, lengths differ, a number is not finite, a denominator is negative, all
    of them are 0, or `level` is not inside (0, 1). The functions below do too.
    """

def bootstrap_difference(
    a: tuple[Buffer | Sequence[float], Buffer | Sequence[float]],
    b: tuple[Buffer | Sequence[float], Buffer | Sequence[float]],
    clusters: Buffer | Sequence[int],
    *,
    replicates: int = 10_000,
    level: float = 0.95,
    seed: int = 0,
    method: Literal["percentile", "bca"] = "percentile",
) -> Interval:
    """The same for `ratio(a) - ratio(b)`, paired by item: `a` and `b` are (numerators, denominators)."""

def bootstrap_quantile(
    values: Buffer | Sequence[float],
    clusters: Buffer | Sequence[int],
    q: float,
    *,
    replicates: int = 10_000,
    level: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Percentile interval of the `q`-quantile of `values` (linear interpolation), whole clusters resampled.

    There is no BCa interval: the jackknife fails for quantiles (Efron 1979).
    """

def bootstrap_curve(
    a: Sequence[tuple[Buffer | Sequence[float], Buffer | Sequence[float]]],
    clusters: Buffer | Sequence[int],
    *,
    b: Sequence[tuple[Buffer | Sequence[float], Buffer | Sequence[float]]] | None = None,
    replicates: int = 10_000,
    level: float = 0.95,
    seed: int = 0,
    method: Literal["percentile", "bca"] = "percentile",
) -> Curve:
    """A ratio per point, `a[p]` being its (numerators, denominators), all over the same draws of clusters.

    With `b`, the difference `ratio(a[p]) - ratio(b[p])` per point, paired by item. Each point alone is what
    `bootstrap_ratio` or `bootstrap_difference` gives for the same seed.
    """

def sign_flip(
    differences: Buffer | Sequence[float],
    clusters: Buffer | Sequence[int],
    *,
    permutations: int = 10_000,
    seed: int = 0,
) -> float:
    """Two-sided p-value that the mean difference is 0, signs flipped per cluster.

    Exact when `2**clusters <= permutations`. Otherwise signs are random and the observed ones count as one more
    permutation, so that no p-value is 0 (Phipson & Smyth 2010).
    """

def swap_test(
    a: Sequence[tuple[Buffer | Sequence[float], Buffer | Sequence[float]]],
    b: Sequence[tuple[Buffer | Sequence[float], Buffer | Sequence[float]]],
    clusters: Buffer | Sequence[int],
    *,
    permutations: int = 10_000,
    seed: int = 0,
) -> list[tuple[float, float]]:
    """`(p-value, adjusted p-value)` at each point: are the ratios `a[p]` and `b[p]` equal?

    The sign-flip test for ratios and curves: under the hypothesis, the two sides of a cluster may change places. The
    adjusted value holds the chance of any false alarm to the level (single-step max-T, Westfall & Young 1993). A
    permutation that leaves a denominator of 0 counts as extreme. Exact and random as `sign_flip`.
    """
