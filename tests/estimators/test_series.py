"""Models of series: sequence autoencoders and detectors of strange stretches."""

import numpy as np
import pandas as pd
import pytest

import narrows
from narrows import (
    AnomalyDetector,
    Autoencoder,
    ContractiveAutoencoder,
    DenoisingAutoencoder,
    SparseAutoencoder,
    Training,
    VariationalAutoencoder,
    corruptions,
    networks,
)
from narrows.data import Series
from narrows.errors import InvalidData, InvalidParameter

QUICK = Training(epochs=4)
KINDS = [Autoencoder, SparseAutoencoder, ContractiveAutoencoder, DenoisingAutoencoder, VariationalAutoencoder]
SMALL = networks.Recurrent(cell="gru", hidden=8)


def waves(n=60, steps=16, seed=0):
    random, t = np.random.default_rng(seed), np.arange(steps)
    place = random.uniform(0, 6, (n, 1))
    return np.sin(t / 3 + place) * random.uniform(0.5, 2, (n, 1)) + 0.05 * random.normal(size=(n, steps))


def load(steps=700, seed=0):
    random, t = np.random.default_rng(seed), np.arange(steps)
    clean = np.stack([np.sin(2 * np.pi * t / 12), 2 * np.cos(2 * np.pi * t / 12)], axis=1)
    return clean + 0.15 * random.normal(size=clean.shape)


# --- autoencoders ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("network", [None, SMALL], ids=["dense", "recurrent"])
def test_every_autoencoder_takes_series(kind, network, tmp_path):
    X = waves()
    model = kind(3, network=network, format=Series(), training=QUICK, random_state=0).fit(X)
    assert model.transform(X).shape == (60, 3)
    assert model.reconstruct(X).shape == X.shape
    assert model.sample(5, random_state=0).shape == (5, 16)
    assert model.interpolate(X[:2], X[2:4], 4)[1].shape == (4, 16)
    assert np.array_equal(model.transform(X)[7:8], model.transform(X[7:8]))
    assert len(set(model.score_samples(X).tolist())) > 50
    model.save(tmp_path / "m")
    assert np.array_equal(narrows.load(tmp_path / "m").reconstruct(X), model.reconstruct(X))


def test_training_teaches_and_beats_the_untrained_network():
    X, test = waves(200), waves(40, seed=1)
    model = Autoencoder(3, format=Series(), training=Training(epochs=40, learning_rate=5e-3), random_state=0).fit(X)
    error, untrained = (((m.reconstruct(test) - test) ** 2).mean() for m in (model, model.untrained()))
    assert error < 0.5 * untrained
    assert error < 0.3 * test.var()
    comparison = narrows.evaluate.compare(model, X, test)
    assert comparison["model"].squared_error < comparison["mean"].squared_error
    assert comparison.per == "value"


def test_series_of_unequal_lengths_go_through_a_recurrent_network():
    X = [w[: 8 + i % 9] for i, w in enumerate(waves())]
    model = Autoencoder(3, network=SMALL, format=Series(), training=QUICK, random_state=0).fit(X)
    made = model.reconstruct(X)
    assert [len(m) for m in made] == [len(x) for x in X]
    alone = model.transform([X[3]])
    np.testing.assert_array_equal(alone, model.transform(X)[3:4])
    lengths = [len(s) for s in model.sample(200, random_state=0)]
    assert set(lengths) == set(range(8, 17))


def test_the_network_suits_the_series():
    whole = Autoencoder(2, format=Series(), training=Training(epochs=1), random_state=0).fit(waves())
    assert type(whole.choices_.network) is networks.Dense
    assert any("all series have 16 steps" in r for r in whole.reasons_)
    reasons = []
    from narrows._types import Layout
    from narrows.estimators._choose import default_network

    assert type(default_network(Layout(shape=(20, 1), ragged=True), reasons)) is networks.Recurrent
    assert type(default_network(Layout(shape=(2000, 1)), reasons)) is networks.Recurrent
    assert "unequal lengths" in reasons[0]
    assert "2,000 values" in reasons[1]


def test_gaps_are_filled_and_the_rest_stays():
    X = waves(300)
    corruption = corruptions.Gaps(longest=0.4)
    training = Training(epochs=60, learning_rate=5e-3)
    model = DenoisingAutoencoder(4, corruption=corruption, format=Series(), training=training, random_state=0).fit(X)
    test = waves(40, seed=2)
    holes = test.copy()
    holes[:, 6:10] = np.nan
    filled = model.impute(holes)
    np.testing.assert_allclose(np.delete(filled, range(6, 10), 1), np.delete(test, range(6, 10), 1), atol=1e-5)
    straight = np.stack([np.interp(np.arange(6, 10), [5, 10], row[[5, 10]]) for row in test])
    assert ((filled[:, 6:10] - test[:, 6:10]) ** 2).mean() < 0.5 * ((straight - test[:, 6:10]) ** 2).mean()


@pytest.mark.slow
def test_exported_models_give_the_same_codes(tmp_path):
    runtime = pytest.importorskip("onnxruntime")
    X = waves()
    model = Autoencoder(3, format=Series(), training=QUICK, random_state=0).fit(X)
    folder = model.to_onnx(tmp_path / "onnx")
    encoder = runtime.InferenceSession(folder / "encoder.onnx")
    values = model.format_.to_rows(X).values.numpy()
    np.testing.assert_allclose(encoder.run(None, {"values": values})[0], model.transform(X), atol=1e-5)


# --- detectors -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def watcher():
    options = {"format": Series(window=24), "trim": 0.0, "training": Training(epochs=30), "random_state": 0}
    return AnomalyDetector(**options).fit([load(1200)])


def test_alarms_on_normal_series_come_at_about_the_rate(watcher):
    found = [watcher.points([load(800, seed)], rate=0.05)[0] for seed in (1, 2, 3)]
    rates = [np.mean([getattr(f, name)[23:].mean() for f in found]) for name in ("alarms", "point_alarms")]
    assert all(0.01 < rate < 0.12 for rate in rates)


def test_a_spike_is_found_where_and_when_it_is(watcher):
    x = load(300, 5)
    x[200, 0] += 3
    found = watcher.points([x])[0]
    assert found.point_alarms[200]
    assert found.channel[200] == 0
    assert found.point_scores[200] == np.nanmax(found.point_scores)
    assert found.scores[200:224].mean() > found.scores[100:200].mean() + 1
    assert np.isnan(found.scores[:23]).all()
    assert not found.alarms[:23].any()
    assert (found.channel[:23] == -1).all()


def test_steps_that_come_one_by_one_are_judged_as_all_at_once(watcher):
    x = load(40, 6)
    x[30, 1] = np.nan
    whole, watch = watcher.points([x])[0], watcher.watch()
    readings = [watch.update(None if np.isnan(step).all() else step) for step in x]
    np.testing.assert_array_equal([r.score for r in readings], whole.scores)
    np.testing.assert_array_equal([r.p_value for r in readings], whole.p_values)
    np.testing.assert_array_equal([r.point_score for r in readings], whole.point_scores)
    assert [r.alarm for r in readings] == whole.alarms.tolist()
    assert readings[0].channel is None
    assert readings[-1].channel in watcher.format_.channels


def test_a_point_that_cannot_be_is_refused_and_forgotten(watcher):
    watch = watcher.watch()
    for step in load(24, 7)[:23]:
        watch.update(step)
    for bad in (1.0, [1.0, 2.0, 3.0], [np.inf, 0.0], [np.float32("inf"), 0.0], ["a", 0.0], [{"v": 1}, 0.0]):
        with pytest.raises(InvalidData):
            watch.update(bad)
    assert np.isfinite(watch.update(load(24, 7)[23]).score)


def test_a_saved_detector_says_the_same(watcher, tmp_path):
    watcher.save(tmp_path / "d")
    x = load(60, 8)
    for mine, its in zip(watcher.points([x])[0], narrows.load(tmp_path / "d").points([x])[0], strict=True):
        np.testing.assert_array_equal(mine, its)


def test_strange_series_among_many_are_found_and_the_steps_named():
    X = np.stack([np.sin(np.arange(12) / 2) + 0.1 * np.random.default_rng(i).normal(size=12) for i in range(150)])
    training = Training(epochs=40)
    detector = AnomalyDetector(format=Series(), trim=0.0, members=4, training=training, random_state=0).fit(X[:120])
    test = X[120:].copy()
    test[3, 5:8] += 1.5
    found = detector.assess(test)
    assert found.scores.argmax() == 3
    assert found.p_values[3] < 0.02
    explained = detector.explain(test[3:4])
    assert explained.contributions.shape == (1, 12, 1)
    assert 5 <= explained.contributions[0, :, 0].argmax() <= 7
    assert "value at step" in explained.sentence(0)
    with pytest.raises(InvalidParameter, match="window by window"):
        detector.points(test)
    with pytest.raises(InvalidParameter, match="window by window"):
        detector.watch()


def test_a_series_too_short_for_its_windows_is_refused():
    with pytest.raises(InvalidData, match="give 90 steps or more"):
        AnomalyDetector(format=Series(window=30), trim=0.0).fit([load(50)])
    with pytest.raises(InvalidParameter, match="tables or series"):
        AnomalyDetector(format=narrows.data.Image()).fit(load())


def test_a_long_table_names_its_times(watcher):
    frame = pd.DataFrame({"time": pd.date_range("2026-01-01", periods=300, freq="h"), "load": load(300)[:, 0]})
    training = Training(epochs=3)
    detector = AnomalyDetector(format=Series(window=12), trim=0.0, training=training, random_state=0).fit(frame)
    assert detector.format_.channels == ("load",)
    assert len(detector.points(frame)) == 1
    assert len(detector.points(frame)[0].scores) == 300
