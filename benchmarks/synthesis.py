"""Quality of made-up rows on Adult and shoppers, beside CTGAN, TVAE, SMOTE, a Gaussian copula and independent columns.

    python -m benchmarks.synthesis --data DIR [--only adult,shoppers] [--seeds 0,1,2] [--peers ours,ctgan,…]
        [--keep FOLDER] [--check] [--tuned]

``DIR`` holds ``tables/adult-train.csv`` and ``tables/online_shoppers_intention.csv``. 90 % of the rows train, 10 % are
held out; as many rows are made up as trained. Prints one Markdown table per set; what was measured is kept in
RESULTS.md. CTGAN and TVAE want an environment of their own (peers.txt); where they are missing, or xgboost is, that is
said. ``--keep`` keeps made-up rows in a folder, and measures those that are there instead of making them again;
``--check`` prints sdmetrics' figures beside ours; ``--tuned`` prints utility alone, by XGBoost with settings chosen
among those of TabSyn by a ninth of the rows it learns from.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from benchmarks.generators import PEERS, SETS
from narrows.evaluate import copying, detection, support, utility
from narrows.evaluate.similarity import column_shapes, pair_trends

HEAD = (
    "| generator | seed | shape error % | pair error % | logistic detection | tree detection | utility (real) | "
    "α-precision | β-recall | exact copies % (held-out rows %) | close % | CPU s |\n" + "|---" * 12 + "|"
)
TUNED_HEAD = "| generator | seed | utility, trees tuned | of real rows | short by |\n" + "|---" * 5 + "|"
# what TabSyn chooses among (its eval/mle/mle.py)
GRID = {"n_estimators": [10, 50, 100], "min_child_weight": [1, 10], "max_depth": [5, 10, 20], "gamma": [0.0, 1.0]}
COMPARED = 10_000  # rows that detection and support look at


@dataclass(frozen=True)
class Split:
    """One set, split by one seed."""

    name: str
    seed: int
    train: pd.DataFrame
    test: pd.DataFrame
    target: str

    @classmethod
    def of(cls, name: str, seed: int, folder: Path) -> Split:
        """The split that ``seed`` makes: 90 % train, 10 % test."""
        table, target = SETS[name](folder)
        order = np.random.default_rng(seed).permutation(len(table))
        cut = round(0.9 * len(table))
        train, test = (table.iloc[part].reset_index(drop=True) for part in (order[:cut], order[cut:]))
        return cls(name, seed, train, test, target)


def trees(seed: int) -> Any:
    """The boosted trees that detect and predict: XGBoost where it is installed, else scikit-learn's."""
    if find_spec("xgboost"):
        from xgboost import XGBClassifier

        return XGBClassifier(random_state=seed, n_jobs=1)
    from sklearn.ensemble import HistGradientBoostingClassifier

    return HistGradientBoostingClassifier(random_state=seed)


def tuned(seed: int) -> Any:
    """XGBoost with the settings that foretell best, by AUC, a ninth of the rows it is given."""
    from sklearn.model_selection import GridSearchCV, ShuffleSplit
    from xgboost import XGBClassifier

    trees = XGBClassifier(random_state=seed, n_jobs=1)
    return GridSearchCV(trees, GRID, scoring="roc_auc", cv=ShuffleSplit(1, test_size=1 / 9, random_state=seed))


def tuned_line(split: Split, peer: str, made: pd.DataFrame) -> str:
    """Utility by tuned trees, as a line of its table."""
    of_made, of_real = (
        utility(t, split.test, split.target, split.seed, tuned(split.seed)) for t in (made, split.train)
    )
    return f"| {peer} | {split.seed} | {of_made:.3f} | {of_real:.3f} | {of_real - of_made:+.4f} |"


def rows_of(split: Split, peer: str, keep: Path | None) -> tuple[pd.DataFrame, float]:
    """Made-up rows and the processor's seconds that training and drawing took."""
    path = None if keep is None else keep / f"{split.name}-{peer.replace(' ', '-')}-{split.seed}.parquet"
    if path is not None and path.exists():
        made = pd.read_parquet(path).astype(split.train.dtypes)
        return made, json.loads(path.with_suffix(".json").read_text())["cpu"]
    start = time.process_time()
    made = PEERS[peer](split.train, split.target, split.seed)
    seconds = time.process_time() - start
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        made.to_parquet(path)
        path.with_suffix(".json").write_text(json.dumps({"cpu": seconds}))
    return made, seconds


def line(split: Split, peer: str, made: pd.DataFrame, seconds: float) -> str:
    """What was measured of one generator's rows, as a line of the table."""
    train, seed = split.train, split.seed
    few = [t.sample(min(COMPARED, len(t)), random_state=seed) for t in (train, made)]
    inside, judge = support(*few), trees(seed)
    same = copying(train, made, split.test, seed)
    scores = [utility(t, split.test, split.target, seed, judge) for t in (made, train)]
    figures = [
        peer,
        str(seed),
        *(f"{error:.2f}" for error in errors(train, made)),
        f"{detection(*few, seed):.3f}",
        f"{detection(*few, seed, judge):.3f}",
        "{:.3f} ({:.3f})".format(*scores),
        f"{inside.precision:.3f}",
        f"{inside.recall:.3f}",
        f"{100 * same.exact:.2f} ({100 * same.exact_real:.2f})",
        f"{100 * same.close:.1f}" + (" (looks memorised)" if same.memorised else ""),
        f"{seconds:.0f}",
    ]
    return f"| {' | '.join(figures)} |"


def errors(train: pd.DataFrame, made: pd.DataFrame) -> tuple[float, float]:
    """Shape error and pair error in percent."""
    found = [f(train, made).values() for f in (column_shapes, pair_trends)]
    return tuple(100 * (1 - np.nanmean([*values])) for values in found)


def check(split: Split, peer: str, made: pd.DataFrame) -> None:
    """Print sdmetrics' figures beside ours: the same definitions by other people."""
    from sdmetrics.reports.single_table import QualityReport
    from sdmetrics.single_table import LogisticDetection

    train, (shape, pair) = split.train, errors(split.train, made)
    kinds = {n: {"sdtype": "numerical" if train[n].dtype.kind in "iuf" else "categorical"} for n in train}
    # it takes None and NaN for two categories
    named = {n: "object" for n, kind in kinds.items() if kind["sdtype"] == "categorical"}
    whole, new = (t.astype(named).fillna(dict.fromkeys(named, "(blank)")) for t in (train, made))
    report = QualityReport()
    # by default it leaves out pairs that depend on each other weakly
    report.real_correlation_threshold = report.real_association_threshold = 0
    report.generate(whole, new, {"columns": kinds}, verbose=False)
    theirs = dict(report.get_properties().to_numpy())
    logistic = LogisticDetection.compute(whole, new, {"columns": kinds})
    said = [f"{100 * (1 - theirs[name]):.2f} %" for name in ("Column Shapes", "Column Pair Trends")]
    print(
        f"\nsdmetrics on {peer}, {split.name}, seed {split.seed}: shape error {said[0]} (ours {shape:.2f} %), "
        f"pair error {said[1]} (ours {pair:.2f} %), "
        f"logistic detection {logistic:.3f} (ours {detection(train, made):.3f})\n"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--only", default=",".join(SETS))
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--peers", default=",".join(PEERS))
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--tuned", action="store_true")
    wanted = parser.parse_args()
    torch.set_num_threads(1)
    print(f"trees: {type(trees(0)).__name__}")
    for name in wanted.only.split(","):
        print(f"\n### {name}\n\n{TUNED_HEAD if wanted.tuned else HEAD}")
        for seed in map(int, wanted.seeds.split(",")):
            split = Split.of(name, seed, wanted.data)
            for peer in wanted.peers.split(","):
                try:
                    made, seconds = rows_of(split, peer, wanted.keep)
                except ImportError as error:
                    print(f"| {peer} | {seed} | not installed: {error} " + "| " * 9 + "|")
                    continue
                print(tuned_line(split, peer, made) if wanted.tuned else line(split, peer, made, seconds), flush=True)
                if wanted.check:
                    check(split, peer, made)


if __name__ == "__main__":
    main()
