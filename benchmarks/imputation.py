"""Filling blanks: cells are hidden, filled, and compared with what they held.

    python -m benchmarks.imputation --data DIR --results FILE [--tables breast_cancer,abalone] [--masks mcar50,mar30]
        [--seeds 0,1] [--methods mean,knn,iterative,forest,miceforest,narrows] [--rows 2000] [--print]

``DIR`` holds ``tables/*.csv``. Every method is given the table with hidden cells and fills that same table; numbers are
judged by the squared error of hidden cells in units of the whole column's variance (MIWAE's protocol), categories by
the share of hidden cells that are wrong. Of narrows 99 draws are made too: their 5th and 95th in order should enclose
90 % of hidden numbers, and a drawn category should be right as often as two draws agree. Every result is a line of
``FILE`` at once; what is there already is not run again, so that methods of other environments (miceforest: see
peers.txt) can be added. ``--print`` prints the file as Markdown, with the number of seeds in brackets,
and runs nothing. Seconds are of the processor, one thread.
"""

from __future__ import annotations

import argparse
import itertools
import json
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

THREADS = 1
TABLES = ("breast_cancer", "abalone", "winequality-red", "adult", "shoppers")
MASKS = ("mcar10", "mcar30", "mcar50", "mar30")
METHODS = ("mean", "knn", "iterative", "forest", "miceforest", "narrows")
DRAWS = 99


# --- tables and masks ------------------------------------------------------------------------------------------


def table(name: str, folder: Path, rows: int) -> pd.DataFrame:
    """A table of numbers and categories (text), at most ``rows`` rows of it, the same ones every time."""
    if name == "breast_cancer":
        from sklearn.datasets import load_breast_cancer

        frame = pd.DataFrame(load_breast_cancer().data)
        frame.columns = pd.Index([f"x{i}" for i in range(frame.shape[1])])
    elif name == "abalone":
        frame = pd.read_csv(folder / "tables" / "abalone.csv", header=None)
    elif name == "winequality-red":
        frame = pd.read_csv(folder / "tables" / "winequality-red.csv", sep=None, engine="python")
    elif name == "adult":
        frame = pd.read_csv(folder / "tables" / "adult-train.csv", header=None, skipinitialspace=True, na_values="?")
        frame = frame.dropna().drop(columns=[3])  # education's number and name are one column
    else:
        frame = pd.read_csv(folder / "tables" / "online_shoppers_intention.csv")
        for column in ("OperatingSystems", "Browser", "Region", "TrafficType", "Weekend", "Revenue"):
            frame[column] = frame[column].astype(str)
    frame.columns = pd.Index([str(c) for c in frame.columns])
    numbers = frame.select_dtypes("number").columns
    frame[numbers] = frame[numbers].astype(float)
    if len(frame) > rows:
        frame = frame.sample(rows, random_state=0)
    return frame.reset_index(drop=True)


def standard(frame: pd.DataFrame) -> np.ndarray:
    """Every column as standardised numbers (categories by their code): what the MAR mechanism looks at."""
    coded = frame.apply(lambda c: c if c.dtype.kind == "f" else c.astype("category").cat.codes.astype(float))
    spread = coded.std(ddof=0).to_numpy()
    return (coded.to_numpy() - coded.mean().to_numpy()) / np.where(spread > 0, spread, 1)


def hidden_cells(frame: pd.DataFrame, mask: str, seed: int) -> np.ndarray:
    """Which cells to hide: ``mcar50`` hides half of all cells by chance alone.

    ``mar30``: three in ten columns stay whole; in the others a cell's chance of being hidden is a logistic function of
    a random combination of the whole columns, set so that 30 % of these cells are hidden.
    """
    rng = np.random.default_rng(seed)
    rate = int(mask[-2:]) / 100
    if mask.startswith("mcar"):
        return rng.random(frame.shape) < rate
    d = frame.shape[1]
    whole = rng.permutation(d)[: max(1, round(0.3 * d))]
    seen = standard(frame)[:, whole]
    hidden = np.zeros(frame.shape, bool)
    for j in set(range(d)) - set(whole.tolist()):
        score = seen @ rng.normal(size=len(whole))
        score = 2 * (score - score.mean()) / max(float(score.std()), 1e-9)
        low, high = -30.0, 30.0
        for _ in range(60):
            middle = (low + high) / 2
            low, high = (middle, high) if np.mean(1 / (1 + np.exp(-score - middle))) < rate else (low, middle)
        hidden[:, j] = rng.random(len(frame)) < 1 / (1 + np.exp(-score - low))
    return hidden


def with_blanks(frame: pd.DataFrame, hidden: np.ndarray) -> pd.DataFrame:
    """The table with the hidden cells blank."""
    return frame.mask(pd.DataFrame(hidden, columns=frame.columns, index=frame.index))


# --- methods ---------------------------------------------------------------------------------------------------


def features(frame: pd.DataFrame) -> tuple[np.ndarray, list[tuple[str, list]]]:
    """Numbers standardised, categories one-hot with blanks; and what each feature is."""
    parts, columns = [], []
    for name in frame.columns:
        cells = frame[name]
        if cells.dtype.kind == "f":
            parts.append(((cells - cells.mean()) / (cells.std(ddof=0) or 1)).to_numpy()[:, None])
            columns.append((name, []))
        else:
            kinds = sorted(cells.dropna().unique())
            hot = np.stack([(cells == k).to_numpy(float) for k in kinds], axis=1)
            hot[cells.isna().to_numpy()] = np.nan
            parts.append(hot)
            columns.append((name, kinds))
    return np.concatenate(parts, axis=1), columns


def from_features(filled: np.ndarray, columns: list[tuple[str, list]], frame: pd.DataFrame) -> pd.DataFrame:
    """The table that filled features mean."""
    result, at = frame.copy(), 0
    for name, kinds in columns:
        blank = frame[name].isna().to_numpy()
        if kinds:
            guess = np.array(kinds, dtype=object)[filled[:, at : at + len(kinds)].argmax(axis=1)]
            result.loc[blank, name] = guess[blank]
        else:
            spread = frame[name].std(ddof=0) or 1
            result.loc[blank, name] = filled[blank, at] * spread + frame[name].mean()
        at += max(1, len(kinds))
    return result


def by_features(imputer: object) -> Callable[[pd.DataFrame, int], pd.DataFrame]:
    """A scikit-learn imputer on standardised and one-hot features."""

    def fill(frame: pd.DataFrame, seed: int) -> pd.DataFrame:
        from sklearn.base import clone

        own = clone(imputer)
        if "random_state" in own.get_params():
            own.set_params(random_state=seed)
        values, columns = features(frame)
        last = np.cumsum([max(1, len(kinds)) for _, kinds in columns]) - 1
        last = last[[len(kinds) > 1 for _, kinds in columns]]
        kept = np.setdiff1d(np.arange(values.shape[1]), last)
        # without the last one: all of a column's parts together foretell each other, and nothing else would be asked
        values[:, kept] = own.fit_transform(values[:, kept])
        for (_, kinds), end in zip([c for c in columns if len(c[1]) > 1], last):
            values[:, end] = 1 - values[:, end + 1 - len(kinds) : end].sum(axis=1)
        return from_features(values, columns, frame)

    return fill


def forest(frame: pd.DataFrame, seed: int, rounds: int = 5, trees: int = 50) -> pd.DataFrame:
    """MissForest: a forest per column, predicting its blanks from all other columns, until they stop settling.

    Numbers are regressed and categories classified, from columns as codes; columns with fewest blanks come first.
    Stekhoven, Buehlmann: MissForest, 2012, https://doi.org/10.1093/bioinformatics/btr597
    """
    from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

    coded, levels = {}, {}
    for name in frame.columns:
        if frame[name].dtype.kind == "f":
            coded[name] = frame[name].to_numpy()
        else:
            kind = frame[name].astype("category")
            levels[name] = kind.cat.categories.to_numpy(object)
            coded[name] = np.where(frame[name].isna(), np.nan, kind.cat.codes.to_numpy(float))
    x = np.stack(list(coded.values()), axis=1)
    blank = np.isnan(x)
    kinds = np.array([name in levels for name in frame.columns])
    start = [pd.Series(c).mode()[0] if k else np.nanmean(c) for c, k in zip(x.T, kinds)]
    x = np.where(blank, start, x)
    last = (np.inf, np.inf)
    spread = np.where(x.std(axis=0) > 0, x.std(axis=0), 1)
    for _ in range(rounds):
        before = x.copy()
        for j in np.argsort(blank.sum(axis=0), kind="stable"):
            if not blank[:, j].any():
                continue
            model = (RandomForestClassifier if kinds[j] else RandomForestRegressor)(
                trees, max_features="sqrt" if kinds[j] else 1 / 3, n_jobs=1, random_state=seed
            )
            rest = np.delete(x, j, axis=1)
            model.fit(rest[~blank[:, j]], x[~blank[:, j], j])
            x[blank[:, j], j] = model.predict(rest[blank[:, j]])
        change = (
            float((((x - before) / spread)[:, ~kinds] ** 2).sum()),
            float((x != before)[:, kinds].sum()),
        )
        if change[0] >= last[0] * (1 - 1e-9) and change[1] >= last[1]:
            x = before
            break
        last = change
    result = frame.copy()
    for j, name in enumerate(frame.columns):
        cells = levels[name][x[:, j].astype(int)] if kinds[j] else x[:, j]
        result.loc[blank[:, j], name] = cells[blank[:, j]]
    return result


def miceforest(frame: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Chained LightGBM with predictive mean matching, five tables: their mean, or the most frequent category."""
    from miceforest import ImputationKernel

    names = [f"c{j}" for j in range(frame.shape[1])]
    given = frame.copy()
    given.columns = pd.Index(names)
    for name in names:
        if given[name].dtype.kind != "f":
            given[name] = given[name].astype("category")
    kernel = ImputationKernel(given, num_datasets=5, random_state=seed)
    kernel.mice(5, num_threads=THREADS)
    several = [kernel.complete_data(i) for i in range(5)]
    result = frame.copy()
    for name, new in zip(frame.columns, names):
        cells = pd.concat([t[new] for t in several], axis=1)
        blank = frame[name].isna().to_numpy()
        numbers = frame[name].dtype.kind == "f"
        found = cells.mean(axis=1) if numbers else cells.astype(object).mode(axis=1)[0]
        result.loc[blank, name] = found.to_numpy()[blank]
    return result


def ours(frame: pd.DataFrame, seed: int) -> tuple[pd.DataFrame, object]:
    """`narrows.Imputer` as it comes."""
    import narrows

    imputer = narrows.Imputer(random_state=seed).fit(frame)
    return imputer.transform(frame), imputer


def methods() -> dict[str, Callable]:
    """Every method by name: table with blanks and seed in, filled table out."""
    from sklearn.experimental import enable_iterative_imputer  # noqa: F401
    from sklearn.impute import IterativeImputer, KNNImputer, SimpleImputer

    return {
        "mean": by_features(SimpleImputer()),
        "knn": by_features(KNNImputer(n_neighbors=10, weights="distance")),
        "iterative": by_features(IterativeImputer(max_iter=10)),
        "forest": forest,
        "miceforest": miceforest,
        "narrows": ours,
    }


# --- judging ---------------------------------------------------------------------------------------------------


def errors(frame: pd.DataFrame, filled: pd.DataFrame, hidden: np.ndarray) -> tuple[float, float]:
    """Squared error of hidden numbers in standard units, and share of hidden categories that are wrong."""
    squares, wrong = [], []
    for j, name in enumerate(frame.columns):
        at = hidden[:, j]
        if frame[name].dtype.kind == "f":
            spread = frame[name].std(ddof=0) or 1
            squares.append(((filled[name].to_numpy(float) - frame[name].to_numpy())[at] / spread) ** 2)
        else:
            wrong.append((filled[name].to_numpy(object) != frame[name].to_numpy(object))[at])
    return tuple(float(np.concatenate(x).mean()) if x else np.nan for x in (squares, wrong))  # type: ignore[return-value]


def calibration(frame: pd.DataFrame, blanked: pd.DataFrame, hidden: np.ndarray, imputer: object) -> dict[str, float]:
    """How many hidden numbers the draws' 90 % intervals hold; how often drawn categories are right, and agree."""
    several = imputer.draws(blanked, DRAWS, random_state=0)
    inside, right, agree = [], [], []
    for j, name in enumerate(frame.columns):
        at = hidden[:, j]
        truth = frame[name].to_numpy()[at]
        if frame[name].dtype.kind == "f":
            drawn = np.sort([t[name].to_numpy(float)[at] for t in several], axis=0)
            little = 1e-6 * (frame[name].std(ddof=0) or 1)
            inside.append((truth >= drawn[4] - little) & (truth <= drawn[-5] + little))
        else:
            drawn = np.array([t[name].to_numpy(object)[at] for t in several])
            right.append((drawn == truth).mean(axis=0))
            agree.append((drawn[1:] == drawn[:-1]).mean(axis=0))
    found = {"coverage": inside, "drawn_right": right, "draws_agree": agree}
    return {k: float(np.concatenate(v).mean()) for k, v in found.items() if v}


def measure(frame: pd.DataFrame, mask: str, seed: int, method: Callable) -> dict[str, float]:
    """All that is measured of one method on one table."""
    hidden = hidden_cells(frame, mask, seed)
    blanked = with_blanks(frame, hidden)
    start = time.process_time()
    filled = method(blanked, seed)
    filled, imputer = filled if isinstance(filled, tuple) else (filled, None)
    seconds = time.process_time() - start
    squared, wrong = errors(frame, filled, hidden)
    result = {"squared": squared, "wrong": wrong, "seconds": seconds}
    return result | (calibration(frame, blanked, hidden, imputer) if imputer else {})


def key(record: dict) -> tuple:
    return record["table"], record["rows"], record["mask"], record["method"]


def markdown(records: list[dict]) -> None:
    """One line per table and mask: by method squared error / share of wrong categories, means over the seeds run."""
    print("| table, rows, hidden | " + " | ".join(METHODS) + " | seconds | 90 % hold | drawn right (agree) |")
    print("|---" * (len(METHODS) + 4) + "|")
    frame = pd.DataFrame(records)
    for (name, rows, mask), part in frame.groupby(["table", "rows", "mask"], sort=False):
        cells, seconds, hold, right = [], [], "", ""
        for method in METHODS:
            some = part[part["method"] == method]
            if some.empty:
                cells.append("")
                continue
            mean, seeds = some.mean(numeric_only=True), len(some)
            both = [f"{mean['squared']:.4f}", "" if np.isnan(mean["wrong"]) else f"{100 * mean['wrong']:.1f} %"]
            cells.append(" / ".join(x for x in both if x) + f" ({seeds})")
            if method in ("narrows", "forest"):
                seconds.append(f"{method} {mean['seconds']:.0f}")
            if method == "narrows":
                hold = f"{100 * mean['coverage']:.1f}"
                sure = mean.get("drawn_right", np.nan)
                right = "" if np.isnan(sure) else f"{100 * sure:.1f} ({100 * mean['draws_agree']:.1f})"
        row = [f"{name} {rows:,} {mask}", *cells, ", ".join(seconds), hold, right]
        print("| " + " | ".join(row) + " |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--results", type=Path, required=True)
    parser.add_argument("--tables", default=",".join(TABLES))
    parser.add_argument("--masks", default=",".join(MASKS))
    parser.add_argument("--methods", default=",".join(METHODS))
    parser.add_argument("--seeds", default="0,1,2,3,4")
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("--print", action="store_true")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    records = (
        [json.loads(line) for line in options.results.read_text().splitlines()] if options.results.exists() else []
    )
    if options.print:
        markdown(records)
        return
    known, done = methods(), {(*key(r), r["seed"]) for r in records}
    if "narrows" in options.methods:
        import torch

        torch.set_num_threads(THREADS)
    asked = itertools.product(options.seeds.split(","), options.tables.split(","), options.masks.split(","))
    for seed, name, mask in asked:
        frame = table(name, options.data, options.rows)
        for method in options.methods.split(","):
            record = {"table": name, "rows": len(frame), "mask": mask, "method": method, "seed": int(seed)}
            if (*key(record), record["seed"]) in done:
                continue
            record |= measure(frame, mask, int(seed), known[method])
            with options.results.open("a") as file:
                file.write(json.dumps(record) + "\n")


if __name__ == "__main__":
    main()
