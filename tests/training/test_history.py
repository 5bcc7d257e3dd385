"""What the history says of a curve, in words."""

from __future__ import annotations

import csv
import json
import math

import numpy as np
import pytest

from narrows.training import History


def history(train, validation=None, **attributes):
    rows = []
    for i, loss in enumerate(train):
        row = {"epoch": i + 1, "loss": float(loss)}
        if validation is not None:
            row["validation_loss"] = float(validation[i])
        rows.append(row)
    best = int(np.nanargmin(validation if validation is not None else train)) + 1
    return History(rows=rows, **{"best_epoch": best, **attributes})


def said(h):
    return " ".join(h.diagnose())


SETTLED = 10 + 90 * np.exp(-np.arange(40))
FALLING = np.linspace(100, 10, 40)


def test_settled():
    assert "settled" in said(history(SETTLED, SETTLED + 1))


def test_still_learning():
    assert "Still learning" in said(history(FALLING, FALLING + 1))
    assert "Still learning" not in said(history(SETTLED, SETTLED))


def test_over_fitting_names_the_epoch():
    validation = np.concatenate([np.linspace(100, 20, 10), np.linspace(21, 60, 30)])
    text = said(history(FALLING, validation))
    assert "Over-fitting since epoch 10" in text
    assert "weights of epoch 10 were kept" in text


def test_jumps():
    loss = SETTLED.copy()
    loss[20] += 50
    assert "jumps (at epoch 21)" in said(history(loss))
    assert "jumps" not in said(history(SETTLED))


def test_training_above_validation_is_explained_only_with_noise():
    assert "noise and dropout are on in training" in said(history(SETTLED + 5, SETTLED, noisy=True))
    assert "noise and dropout" not in said(history(SETTLED + 5, SETTLED))


def test_diverged():
    loss = SETTLED.copy()
    loss[-1] = math.inf
    assert "diverged" in said(history(loss))


def test_nothing_learnt():
    assert "Nothing was learnt" in said(history(np.full(20, 7.0)))


def test_collapsed_counts_active_units():
    h = history(SETTLED, SETTLED, code_size=8)
    for row in h.rows:
        row.update(active_units=0.0, kl=0.01)
    assert "active units 0 of 8" in said(h)
    assert "KL 0.01 nats" in said(h)
    for row in h.rows:
        row["active_units"] = 5.0
    assert "Active units 5 of 8" in said(h)
    for row in h.rows:
        row["active_units"] = 8.0
    assert "ctive units" not in said(h)


def test_nothing_trained():
    assert "No epoch" in said(History())


def test_columns_and_unknown_column():
    h = history(FALLING)
    assert h.columns == ["epoch", "loss"]
    assert h["loss"].shape == (40,)
    with pytest.raises(KeyError, match="epoch, loss"):
        h["valid"]


def test_round_trips(tmp_path):
    h = history(FALLING, FALLING, stopped="all epochs were trained", code_size=3)
    h.rows[3]["loss"] = math.nan
    again = History.from_config(json.loads(json.dumps(h.to_config(), allow_nan=False)))
    assert np.array_equal(again["loss"], h["loss"], equal_nan=True)
    assert again.stopped == h.stopped
    assert again.code_size == 3
    h.to_csv(tmp_path / "history.csv")
    with (tmp_path / "history.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 40
    assert float(rows[0]["loss"]) == pytest.approx(100)
    assert "epoch" in str(h)
    assert set(h.to_dict()) == {"epoch", "loss", "validation_loss"}


@pytest.mark.parametrize("curve", [[5.0], [5.0, 3.0], [5.0, 3.0, 2.0], [5.0, 3.0, 4.0]])
def test_a_few_epochs_are_not_called_settled(curve):
    text = said(history(curve, curve))
    assert "settled" not in text
    assert "too few to judge the curve" in text
    assert ("still falling" in text) == (len(curve) > 1 and curve[-1] == min(curve))


def test_epochs_are_not_mistaken_for_the_points_of_the_curve():
    h = history([5.0, 3.0], [5.0, 3.0])
    for row, epoch in zip(h.rows, (10, 20), strict=True):
        row["epoch"] = epoch
    assert "20 epochs were trained, the loss was recorded 2 times: too few to judge the curve" in said(h)


def test_a_validation_that_was_never_finite_is_no_over_fitting():
    losses = (4.0, 3.0, 2.0, 1.0, 0.5)
    h = History(rows=[{"epoch": i + 1.0, "loss": v, "validation_loss": math.nan} for i, v in enumerate(losses)])
    assert "No validation loss was a finite number" in said(h)
    assert "Over-fitting" not in said(h)
    assert "settled" not in said(h)
