"""The synthesizer: rows like the table's own, conditions, balance, files, and refusals in one sentence."""

from __future__ import annotations

import pickle
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import torch
from sklearn.base import clone
from sklearn.utils.estimator_checks import parametrize_with_checks

import narrows
from narrows import Training
from narrows.errors import InvalidData, InvalidParameter, SavedModelError
from narrows.evaluate.synthesis import synthesis_report


@parametrize_with_checks([narrows.Synthesizer(training=Training(epochs=2))])
def test_scikit_learns_contract(estimator, check):
    check(estimator)


def shop(n: int = 1500, seed: int = 0) -> pd.DataFrame:
    """Orders: numbers that depend on categories, mostly zero discounts, blanks, whole numbers, days."""
    rng = np.random.default_rng(seed)
    kind = rng.choice(["book", "game", "film"], n, p=[0.6, 0.3, 0.1])
    mean = pd.Series(kind).map({"book": 10.0, "game": 40.0, "film": 20.0}).to_numpy()
    price = np.round(mean + rng.normal(size=n) * 3, 2)
    member = rng.random(n) < np.where(kind == "game", 0.8, 0.2)
    discount = np.where(member, rng.integers(1, 60, n), 0)
    age = np.where(rng.random(n) < 0.15, np.nan, np.round(20 + mean / 2 + 5 * rng.normal(size=n)))
    day = pd.Timestamp("2024-01-01") + pd.to_timedelta(rng.integers(0, 365, n), unit="D")
    return pd.DataFrame(
        {"kind": kind, "price": price, "member": member, "discount": discount, "age": age, "day": day, "shop": "main"}
    )


@pytest.fixture(scope="module")
def fitted():
    return narrows.Synthesizer(training=Training(epochs=60), random_state=0).fit(shop())


@pytest.fixture(scope="module")
def made(fitted):
    return fitted.sample(1500, random_state=1)


class TestRows:
    def test_types_ranges_categories_and_blanks_are_kept(self, made):
        real = shop()
        assert list(made.columns) == list(real.columns)
        assert (made.dtypes == real.dtypes).all()
        for name in ("price", "discount", "age", "day"):
            assert made[name].min() >= real[name].min()
            assert made[name].max() <= real[name].max()
        assert set(made["kind"]) == set(real["kind"])
        assert np.array_equal(made["price"].round(2), made["price"])
        assert (made["age"].dropna() % 1 == 0).all()
        assert (made["shop"] == "main").all()
        assert abs(made["age"].isna().mean() - 0.15) < 0.04
        assert abs((made["discount"] == 0).mean() - (real["discount"] == 0).mean()) < 0.06

    def test_columns_depend_on_each_other_as_in_the_data(self, made):
        means = made.groupby("kind")["price"].mean()
        assert means["book"] < 15
        assert means["game"] > 33
        # a discount is there for members and for nobody else
        assert (made["member"] == (made["discount"] > 0)).mean() > 0.95

    def test_beats_independent_columns_and_its_untrained_self(self, fitted, made):
        real, held = shop(), shop(500, seed=5)
        rng = np.random.default_rng(0)
        shuffled = pd.DataFrame({n: rng.permutation(real[n].to_numpy()) for n in real}).astype(real.dtypes)
        report, alone = (synthesis_report(real, t, held, target="member") for t in (made, shuffled))
        assert report.shape_error < 0.04
        assert report.pair_error < 0.6 * alone.pair_error
        assert report.utility > alone.utility + 0.2
        assert report.detection > 0.8
        assert not report.memorised
        untrained = clone(fitted).set_params(training=Training(epochs=1, learning_rate=1e-9)).fit(real)
        assert report.pair_error < synthesis_report(real, untrained.sample(1500, random_state=1)).pair_error

    def test_equal_seeds_give_equal_rows_and_others_do_not(self, fitted):
        before = torch.get_rng_state()
        first = fitted.sample(50, random_state=3)
        pd.testing.assert_frame_equal(first, fitted.sample(50, random_state=3))
        assert not first.equals(fitted.sample(50, random_state=4))
        assert torch.equal(torch.get_rng_state(), before)

    def test_other_containers_come_back_as_they_were(self):
        table = shop(200)
        settings = {"training": Training(epochs=1), "random_state": 0}
        arrow = pa.Table.from_pandas(table, preserve_index=False)
        assert narrows.Synthesizer(**settings).fit(arrow).sample(5).schema.types == arrow.schema.types
        frame = pl.from_pandas(table)
        assert narrows.Synthesizer(**settings).fit(frame).sample(5).schema == frame.schema
        found = narrows.Synthesizer(**settings).fit(table[["price", "age"]].to_numpy()).sample(5)
        assert found.shape == (5, 2)
        assert found.dtype == np.float64


class TestConditions:
    def test_all_rows_meet_the_condition(self, fitted):
        made = fitted.sample(200, where="kind = 'film' AND (age > 25 OR age IS NULL) AND discount < 30", random_state=0)
        assert len(made) == 200
        assert (made["kind"] == "film").all()
        assert ((made["age"] > 25) | made["age"].isna()).all()
        assert (made["discount"] < 30).all()
        again = fitted.sample(
            200, where="kind = 'film' AND (age > 25 OR age IS NULL) AND discount < 30", random_state=0
        )
        pd.testing.assert_frame_equal(made, again)

    def test_conditional_rows_follow_the_conditional_distribution(self, fitted):
        made = fitted.sample(400, where="member = TRUE", random_state=0)
        real = shop().query("member")
        assert abs((made["kind"] == "game").mean() - (real["kind"] == "game").mean()) < 0.1

    def test_rare_rows_are_grown_from_the_few_found(self, fitted, monkeypatch):
        from narrows.tasks import generate

        source = fitted._source()
        condition = fitted._condition("kind = 'film' AND discount > 0")
        arrays = generate.generate_where(source, 1000, 0, lambda a: condition.mask(source.arrow(a)), "…", most=2000)
        rows = source.close(arrays)
        assert len(rows) == 1000
        assert ((rows["kind"] == "film") & (rows["discount"] > 0)).all()
        assert rows.drop_duplicates().shape[0] > 500

    def test_no_such_row_is_said_with_its_share(self, fitted, monkeypatch):
        monkeypatch.setattr("narrows.tasks.generate.generate_where.__defaults__", (4096,))
        with pytest.raises(InvalidData, match=r"none of 4,096 rows drawn meets this \(fewer than 0.07"):
            fitted.sample(10, where="price > 1000000")

    @pytest.mark.parametrize(
        ("where", "words"),
        [
            ("prise > 3", "no column 'prise'; the nearest are: 'price'"),
            ("kind = 'bok'", "never holds 'bok'; its values are: 'book'"),
            ("price > 'much'", "holds numbers"),
            ("price > 3; DROP TABLE x", "several statements"),
            (7, "give text"),
        ],
    )
    def test_bad_conditions_are_refused_before_any_draw(self, fitted, where, words):
        with pytest.raises(InvalidParameter, match=words):
            fitted.sample(5, where=where)

    def test_balance_gives_equal_shares(self, fitted):
        made = fitted.sample(200, balance="kind", random_state=0)
        assert sorted(made["kind"].value_counts()) == [66, 67, 67]
        both = fitted.sample(90, balance="kind", where="price > 12", random_state=0)
        assert sorted(both["kind"].value_counts()) == [30, 30, 30]
        assert (both["price"] > 12).all()
        assert sorted(fitted.sample(40, balance="member", random_state=0)["member"].value_counts()) == [20, 20]
        assert fitted.sample(20, where="member = 'true'", random_state=0)["member"].all()
        with pytest.raises(InvalidParameter, match="name a column of categories; there are: 'kind'"):
            fitted.sample(5, balance="price")


class TestFiles:
    def test_a_saved_synthesizer_draws_the_same_rows(self, fitted, tmp_path):
        fitted.save(tmp_path / "m", {"shape_error": 0.01})
        loaded = narrows.load(tmp_path / "m")
        assert isinstance(loaded, narrows.Synthesizer)
        for model in (loaded, pickle.loads(pickle.dumps(fitted))):
            pd.testing.assert_frame_equal(model.sample(40, random_state=2), fitted.sample(40, random_state=2))
        rare = [m.sample(20, where="kind = 'film'", random_state=2) for m in (fitted, loaded)]
        pd.testing.assert_frame_equal(*rare)

    def test_an_unknown_task_is_refused(self, fitted, tmp_path):
        from narrows.estimators._files import save

        save(fitted.model_, tmp_path / "m", task={"estimator": "os.system"})
        with pytest.raises(SavedModelError, match="unknown estimator 'os.system'"):
            narrows.load(tmp_path / "m")


class TestFromModel:
    def test_a_fitted_model_makes_rows_with_blanks(self):
        table = shop(400)
        model = narrows.VariationalAutoencoder(4, training=Training(epochs=5), random_state=0).fit(table)
        synthesizer = narrows.Synthesizer.from_model(model)
        made = synthesizer.sample(400, random_state=0)
        assert (made.dtypes == table.dtypes).all()
        assert abs(made["age"].isna().mean() - table["age"].isna().mean()) < 0.06
        assert (synthesizer.sample(20, where="kind = 'book'", random_state=0)["kind"] == "book").all()

    def test_other_things_are_refused(self, tiny_images):
        with pytest.raises(InvalidParameter, match="give a fitted model"):
            narrows.Synthesizer.from_model(narrows.VariationalAutoencoder())
        images = narrows.VariationalAutoencoder(2, training=Training(epochs=1)).fit(tiny_images)
        with pytest.raises(InvalidParameter, match="images"):
            narrows.Synthesizer.from_model(images)


class TestBadTables:
    def test_no_complete_row_an_empty_column_and_one_category(self):
        rng = np.random.default_rng(0)
        table = pd.DataFrame({"a": rng.normal(size=80), "b": rng.choice(["u", "v"], 80), "c": "only", "d": np.nan})
        table.loc[::2, "a"] = np.nan
        table.loc[1::2, "b"] = None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            made = narrows.Synthesizer(training=Training(epochs=3), random_state=0).fit(table).sample(60)
        assert made["d"].isna().all()
        assert (made["c"] == "only").all()
        assert 0.2 < made["a"].isna().mean() < 0.8

    def test_thousands_of_categories(self):
        rng = np.random.default_rng(0)
        table = pd.DataFrame({"a": rng.normal(size=3000), "b": [f"v{i % 2500}" for i in range(3000)]})
        made = narrows.Synthesizer(training=Training(epochs=1), random_state=0).fit(table).sample(500)
        assert set(made["b"]) <= set(table["b"])
        assert made["b"].nunique() > 300

    def test_a_condition_on_a_rare_category_holds_for_every_row(self):
        rng = np.random.default_rng(0)
        table = pd.DataFrame({"a": rng.normal(size=2000), "b": [f"v{i % 150}" for i in range(2000)]})
        model = narrows.Synthesizer(training=Training(epochs=1), random_state=0).fit(table)
        rare = ["v149", "v148", "v147", "v146"]
        made = model.sample(120, where=f"b IN ({', '.join(map(repr, rare))})", random_state=0)
        assert set(made["b"]) <= set(rare)

    def test_nothing_to_learn_from(self):
        with pytest.raises(InvalidData, match="one value only"):
            narrows.Synthesizer().fit(pd.DataFrame({"a": ["x"] * 9}))
        with pytest.raises(InvalidData, match="every cell"):
            narrows.Synthesizer().fit(pd.DataFrame({"a": [np.nan] * 9}))

    @pytest.mark.parametrize("params", [{"model": 3}, {"training": "long"}, {"steps": -1}, {"steps": 1.5}])
    def test_bad_parameters(self, params):
        with pytest.raises(InvalidParameter, match=f"Synthesizer\\({next(iter(params))}="):
            narrows.Synthesizer(**params).fit(shop(50))

    @pytest.mark.parametrize("n", [0, -1, 2.5, True, "many"])
    def test_bad_numbers_of_rows(self, fitted, n):
        with pytest.raises(InvalidParameter, match="whole number of at least 1"):
            fitted.sample(n)
