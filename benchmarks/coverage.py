"""Simulate the coverage of the 95 % intervals of `nvs_eval.comparison.statistics`, and of other intervals.

python benchmarks/coverage.py [--trials 2000] [--resamples 2000] [--seed 0] [--views 7 25 200]

Each trial compares sides that do not differ. Coverage is the share of intervals that contain 0. In "9 scenes that
differ", the effect of each scene is drawn from the same distribution as the differences of the views. With three runs a
side, each run adds noise (half the views' standard deviation), and as much again on each of its views.
"""

from __future__ import annotations

import argparse
import math
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from rich.console import Console
from rich.table import Table
from scipy import stats

from nvs_eval.comparison.statistics.intervals import LEVEL, intervals
from nvs_eval.comparison.statistics.resampling import studentised
from nvs_eval.comparison.statistics.scores import Array, SceneScores, Scores

Draw = Callable[[np.random.Generator, tuple[int, ...]], Array]

# All have mean 0 and standard deviation 1.
DISTRIBUTIONS: dict[str, Draw] = {
    "normal": lambda rng, shape: rng.standard_normal(shape),
    "skewed: gamma, skewness 1.4": lambda rng, shape: (rng.gamma(2, 1, shape) - 2) / math.sqrt(2),
    "skewed: exponential, skewness 2": lambda rng, shape: rng.exponential(1, shape) - 1,
    "very skewed: log-normal, skewness 6.2": lambda rng, shape: (
        (rng.lognormal(0, 1, shape) - math.exp(0.5)) / math.sqrt(math.exp(2) - math.exp(1))
    ),
    "heavy tails: t, 3 degrees of freedom": lambda rng, shape: rng.standard_t(3, shape) / math.sqrt(3),
}
# Number of scenes, number of runs a side, standard deviation of the scene effects.
SETTINGS = {
    "1 scene": (1, 1, 0.0),
    "9 scenes": (9, 1, 0.0),
    "9 scenes that differ": (9, 1, 1.0),
    "1 scene, 3 runs": (1, 3, 0.0),
    "9 scenes, 3 runs": (9, 3, 0.0),
}
# Fixed scenes of different numbers of views.
UNEQUAL = ((6, 200), (4, 9, 20), (20, 200))
RUN_NOISE = 0.5
# Number of trials that share resamples, as metrics do. The correlation is small beside the error of the simulation.
TOGETHER = 100


def trial(rng: np.random.Generator, draw: Draw, setting: tuple[int, int, float], counts: Sequence[int]) -> Scores:
    """Return scores of two sides without a true difference.

    Args:
        rng: random number generator.
        draw: distribution of the differences.
        setting: value of `SETTINGS`.
        counts: number of views of each scene.
    """
    _, runs, effect = setting
    scenes = []
    for index, views in enumerate(counts):
        names = tuple(str(index) for index in range(views))
        differences = draw(rng, (views,)) + (effect * draw(rng, (1,)) if effect else 0.0)
        sides = np.zeros((2, runs, views))
        if runs > 1:
            sides += RUN_NOISE * (rng.standard_normal((2, runs, 1)) + rng.standard_normal((2, runs, views)))
        scenes.append(SceneScores(str(index), names, sides[0], sides[1] + differences))
    return Scores(tuple(scenes))


def batches(
    arguments: argparse.Namespace, draw: Draw, setting: tuple[int, int, float], counts: Sequence[int]
) -> Iterator[tuple[list[Scores], int]]:
    """Yield the trials in batches, with the seed of their resamples."""
    rng = np.random.default_rng([arguments.seed, *dict.fromkeys(counts), *setting[:2]])
    for start in range(0, arguments.trials, TOGETHER):
        count = min(TOGETHER, arguments.trials - start)
        yield [trial(rng, draw, setting, counts) for _ in range(count)], arguments.seed + 1 + start


def coverage(
    arguments: argparse.Namespace, draw: Draw, setting: tuple[int, int, float], counts: Sequence[int]
) -> tuple[float, float]:
    """Return the coverage of the intervals that `compare` uses, and the share of them that carry a caution."""
    covered = cautioned = 0
    for scores, seed in batches(arguments, draw, setting, counts):
        by_trial = {str(index): trial_scores for index, trial_scores in enumerate(scores)}
        for interval in intervals(by_trial, resamples=arguments.resamples, seed=seed).values():
            assert interval.low is not None and interval.high is not None, interval.reason
            covered += interval.low <= 0 <= interval.high
            cautioned += bool(interval.caution)
    return covered / arguments.trials, cautioned / arguments.trials


def alternatives(arguments: argparse.Namespace, draw: Draw, views: int) -> dict[str, float]:
    """Return the coverage of other intervals, for one scene with one run a side."""
    tail = (1 - LEVEL) / 2
    student = float(stats.t.ppf(1 - tail, views - 1))
    # Hesterberg's expanded percentile, which equals the t interval for normal differences.
    expanded = float(stats.norm.cdf(-math.sqrt(views / (views - 1)) * student))
    covered: Counter[str] = Counter()
    for scores, seed in batches(arguments, draw, SETTINGS["1 scene"], [views]):
        means = np.array([trial_scores.difference for trial_scores in scores])
        errors = np.array([trial_scores.standard_error for trial_scores in scores])
        ratios = studentised(scores, resamples=arguments.resamples, seed=seed)
        shares = np.random.default_rng(seed).multinomial(views, np.full(views, 1 / views), arguments.resamples) / views
        resampled = shares @ np.array([trial_scores.scenes[0].differences for trial_scores in scores]).T
        ends = {
            "t": (means - student * errors, means + student * errors),
            "percentile": np.quantile(resampled, [tail, 1 - tail], axis=0),
            "expanded percentile": np.quantile(resampled, [expanded, 1 - expanded], axis=0),
            "studentised, equal tails": means - errors * np.quantile(ratios, [1 - tail, tail], axis=0),
            "studentised, no cap": means + errors * np.array([[-1], [1]]) * np.quantile(np.abs(ratios), LEVEL, axis=0),
        }
        for name, (low, high) in ends.items():
            covered[name] += int(((low <= 0) & (high >= 0)).sum())
    return {name: count / arguments.trials for name, count in covered.items()}


def formatted(share: float, trials: int) -> str:
    """Format a coverage in percent with its standard error."""
    return f"{100 * share:.1f} ± {100 * math.sqrt(share * (1 - share) / trials):.1f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=2000, help="number of trials (default: 2000)")
    parser.add_argument("--resamples", type=int, default=2000, help="bootstrap resamples (default: 2000)")
    parser.add_argument("--seed", type=int, default=0, help="random seed (default: 0)")
    parser.add_argument("--views", type=int, nargs="+", default=[7, 25, 200], help="views a scene (default: 7 25 200)")
    arguments = parser.parse_args()
    console, start = Console(width=160), time.perf_counter()
    table = Table("differences", "views a scene", *SETTINGS, title="Coverage in %, as used")
    rejected = Table("differences", "views", title="Coverage in %, 1 scene, other intervals")
    unequal = Table("differences", "views of the scenes", "coverage", "with a caution", title="Coverage in %, as used")
    for name, draw in DISTRIBUTIONS.items():
        for counts in UNEQUAL:
            covered, cautioned = coverage(arguments, draw, (len(counts), 1, 0.0), counts)
            listed = ", ".join(map(str, counts))
            unequal.add_row(name, listed, formatted(covered, arguments.trials), f"{100 * cautioned:.0f}")
        for views in arguments.views:
            cells = [coverage(arguments, draw, s, [views] * s[0])[0] for s in SETTINGS.values()]
            table.add_row(name, str(views), *[formatted(cell, arguments.trials) for cell in cells])
            shares = alternatives(arguments, draw, views)
            if len(rejected.columns) == 2:
                for interval in shares:
                    rejected.add_column(interval)
            rejected.add_row(name, str(views), *[formatted(share, arguments.trials) for share in shares.values()])
    console.print(table, unequal, rejected)
    console.print(f"{arguments.trials} trials, {arguments.resamples} resamples, {time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
