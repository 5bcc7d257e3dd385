"""The synthesizer: rows like the table's own, conditions, balance, files, and refusals in one sentence."""

from __future__ import annotations

import dataclasses
import json
import pickle
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import torch
from scipy import stats
from sklearn.base import clone
from sklearn.utils.estimator_checks import parametrize_with_checks

import narrows
import narrows.tasks.generate
from narrows import Training, networks
from narrows._saved import checksum
from narrows.errors import InvalidData, InvalidParameter, SavedModelError
from narrows.evaluate.synthesis import synthesis_report
from narrows.tasks.generate import Drawn, Wanted, generate_where, walk
from narrows.training.seeds import seeded


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


def test_reasons_are_of_the_users_columns():
    table = shop(200).assign(same="x")
    model = narrows.Synthesizer(training=Training(epochs=1), sweeps=0, random_state=0).fit(table)
    assert model.reasons_[0].startswith(f"{table.shape[1]} columns:")
    assert any("'same'" in reason and "constant" in reason for reason in model.reasons_)
    assert not any("score'" in reason or "state'" in reason for reason in model.reasons_)


def test_made_up_numbers_have_as_many_decimals_as_the_tables_own():
    frame = shop(200)[["kind", "price"]].assign(weight=np.random.default_rng(0).normal(size=200))
    model = narrows.VariationalAutoencoder(2, training=Training(epochs=2), random_state=0).fit(frame)
    loaded = type(model.format_).from_config(json.loads(json.dumps(model.format_.to_config())))
    assert [c.places for c in loaded.columns] == [None, 2, None]
    for made in (
        model.sample(50, random_state=0),
        model.sample(50, where="kind = 'book'", random_state=0),
        narrows.Synthesizer.from_model(model).sample(50, random_state=0),
    ):
        assert np.array_equal(made["price"].round(2), made["price"])
        assert not np.array_equal(made["weight"].round(4), made["weight"])
    # what is made of a given row is what is expected of it, with all its digits
    back = model.reconstruct(frame)
    assert not np.array_equal(back["price"].round(2), back["price"])


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


SHARES = {"a": (0.7, 0.2, 0.1), "b": (0.1, 0.3, 0.6)}


@pytest.fixture(scope="module")
def known():
    """A synthesizer of a table whose colour and size depend on kind in a known way."""
    rng = np.random.default_rng(0)
    kind = rng.choice(["a", "b"], 3000, p=[0.85, 0.15])
    colour = [rng.choice(["red", "green", "blue"], p=SHARES[k]) for k in kind]
    size = np.where(kind == "a", rng.normal(0, 1, 3000), rng.normal(3, 0.5, 3000))
    table = pd.DataFrame({"kind": kind, "colour": colour, "size": size})
    return narrows.Synthesizer(training=Training(epochs=40), random_state=0).fit(table)


class TestConditionalDistribution:
    @pytest.fixture(scope="module", params=["rejection", "walk"])
    @staticmethod
    def rows(known, request):
        source, condition = known._source, known._condition("kind = 'b'")
        wanted = Wanted(500, lambda arrays: condition.mask(source.arrow(arrays)), "kind = 'b'")
        # a walk starts from about 150 rows that were found
        arrays = generate_where(source, [wanted], 1, most=500_000 if request.param == "rejection" else 1000)
        return source.close(arrays[0])

    def test_shares_of_another_column_are_those_of_the_data(self, rows):
        assert (rows["kind"] == "b").all()
        counts = rows["colour"].value_counts().reindex(["red", "green", "blue"])
        assert stats.chisquare(counts, 500 * np.array(SHARES["b"])).pvalue > 1e-3

    def test_numbers_are_distributed_as_in_the_data(self, rows):
        # 445 rows to learn from and 500 drawn are 0.09 apart by chance alone, once in twenty times
        assert stats.kstest(rows["size"], stats.norm(3, 0.5).cdf).statistic < 0.12
        assert rows["size"].nunique() > 450


class TestWalk:
    @staticmethod
    def walked(source, rows, rounds, accept=None):
        wanted = Wanted(len(rows.codes), accept or (lambda cells: np.ones(len(cells[0]), bool)), "anything")
        return walk(source, rows, wanted, 0, rounds)

    def test_leaves_the_distribution_as_it_is(self, fitted):
        source = fitted._source
        with seeded(5):
            before = Drawn.of(source, *source.draw(4000), 0)
            after = self.walked(source, before, 5)
        assert (before.codes != after.codes).any(1).float().mean() > 0.9
        for j in (1, 3):  # price, discount
            assert stats.ks_2samp(before.cells[j].to_numpy(), after.cells[j].to_numpy()).pvalue > 1e-3

    def test_forgets_where_it_began_but_not_the_condition(self, fitted):
        source, condition = fitted._source, fitted._condition("kind = 'book'")
        accept = lambda cells: condition.mask(source.arrow(cells))  # noqa: E731
        with seeded(6):
            drawn = Drawn.of(source, *source.draw(4000), 0)
            books = drawn.take(np.flatnonzero(accept(drawn.cells)))
            price = books.cells[1].to_numpy()
            cheap = books.take(np.argsort(price)[:600])
            found = self.walked(source, cheap, 15, accept)
        assert accept(found.cells).all()
        assert stats.ks_2samp(cheap.cells[1].to_numpy(), price).statistic > 0.5
        assert stats.ks_2samp(found.cells[1].to_numpy(), price).statistic < 0.12

    def test_plain_models_walk_too(self):
        model = narrows.VariationalAutoencoder(4, training=Training(epochs=5), random_state=0).fit(shop(400))
        source = narrows.Synthesizer.from_model(model)._source
        with seeded(7):
            before = Drawn.of(source, *source.draw(3000), 0)
            after = self.walked(source, before, 3)
        assert (before.codes != after.codes).any(1).float().mean() > 0.9
        assert stats.ks_2samp(before.cells[1].to_numpy(), after.cells[1].to_numpy()).pvalue > 1e-3


def test_shares_of_categories_are_those_of_the_data():
    """Even of a model that has hardly learnt anything."""
    table = shop(3000)
    model = narrows.Synthesizer(training=Training(epochs=1), random_state=0).fit(table)
    made = model.sample(20_000, random_state=0)
    for name in ("kind", "member"):
        wanted, found = (t[name].value_counts(normalize=True).sort_index() for t in (table, made))
        assert np.abs(wanted - found).max() < 0.015, name
    assert abs(made["age"].isna().mean() - table["age"].isna().mean()) < 0.015
    plain = dataclasses.replace(model._source, shares={}, redraw=None)
    raw = narrows.tasks.generate.generate(plain, 20_000, 0)
    assert abs(np.mean(raw[0].to_numpy(zero_copy_only=False) == "book") - 0.6) > 0.015  # what it would have been


def test_a_rare_class_is_balanced():
    rng = np.random.default_rng(0)
    rare = rng.random(2500) < 0.02
    table = pd.DataFrame({"x": rng.normal(size=2500) + 4 * rare, "fraud": np.where(rare, "yes", "no")})
    made = (
        narrows.Synthesizer(training=Training(epochs=40), random_state=0)
        .fit(table)
        .sample(2000, balance="fraud", random_state=0)
    )
    assert (made["fraud"] == "yes").sum() == 1000
    means = made.groupby("fraud")["x"].mean()
    assert abs(means["no"]) < 0.2
    assert means["yes"] > 2.5


class TestFiles:
    def test_a_saved_synthesizer_draws_the_same_rows(self, fitted, tmp_path):
        fitted.save(tmp_path / "m", {"shape_error": 0.01})
        loaded = narrows.load(tmp_path / "m")
        assert isinstance(loaded, narrows.Synthesizer)
        for model in (loaded, pickle.loads(pickle.dumps(fitted))):
            pd.testing.assert_frame_equal(model.sample(40, random_state=2), fitted.sample(40, random_state=2))
        for asked in ({"where": "kind = 'film'"}, {"balance": "kind"}):
            pd.testing.assert_frame_equal(*(m.sample(20, **asked, random_state=2) for m in (fitted, loaded)))

    def test_a_loaded_synthesizer_has_its_parameters_and_can_be_fitted_again(self, tmp_path):
        own = narrows.VariationalAutoencoder(3, beta=0.2, network=networks.Dense(widths=(16,)))
        model = narrows.Synthesizer(own, training=Training(epochs=2), steps=1, random_state=7).fit(shop(200))
        model.save(tmp_path / "m")
        loaded = narrows.load(tmp_path / "m")
        assert repr(loaded.get_params()) == repr(model.get_params())
        again = clone(loaded).fit(shop(200))
        pd.testing.assert_frame_equal(again.sample(30, random_state=0), model.sample(30, random_state=0))

    def test_sweeps_that_do_not_fit_the_table_are_refused(self, tmp_path):
        model = narrows.Synthesizer(training=Training(epochs=1), random_state=0).fit(shop(100))
        model.save(tmp_path / "m")
        path = tmp_path / "m" / "model.json"
        content = json.loads(path.read_text())
        del content["checksum"]
        content["redraw"]["order"][0] = content["redraw"]["order"][1]
        path.write_text(json.dumps({**content, "checksum": checksum(content)}))
        with pytest.raises(SavedModelError, match="draws cells again does not fit"):
            narrows.load(tmp_path / "m")

    def test_one_over_a_given_model_too(self, tmp_path):
        model = narrows.VariationalAutoencoder(2, training=Training(epochs=1), random_state=0).fit(shop(200))
        made = narrows.Synthesizer.from_model(model)
        again = narrows.load(made.save(tmp_path / "m"))
        pd.testing.assert_frame_equal(again.sample(30, random_state=0), made.sample(30, random_state=0))


class TestSweeps:
    @staticmethod
    def table(n: int = 3000) -> pd.DataFrame:
        """Three coins of which the third says whether the first two are alike: no pair of them depends."""
        rng = np.random.default_rng(0)
        a, b = rng.random(n) < 0.5, rng.random(n) < 0.5
        even = np.where(rng.random(n) < 0.9, a == b, a != b)
        return pd.DataFrame({"a": np.where(a, "x", "y"), "b": np.where(b, "x", "y"), "even": np.where(even, "u", "v")})

    @staticmethod
    def right(rows: pd.DataFrame) -> float:
        return float(((rows["a"] == rows["b"]) == (rows["even"] == "u")).mean())

    def test_learn_what_the_autoencoder_did_not(self):
        coarse = narrows.VariationalAutoencoder(1)  # a code of one number, which tells little of three coins
        model = narrows.Synthesizer(coarse, training=Training(epochs=20), random_state=0).fit(self.table())
        alone = dataclasses.replace(model._source, redraw=None)
        before, after = (
            source.close(narrows.tasks.generate.generate(source, 4000, 0)) for source in (alone, model._source)
        )
        assert abs(self.right(after) - 0.9) < 0.03
        assert self.right(before) < 0.8
        under = model.sample(1000, where="even = 'v' AND a = 'x'", random_state=0)
        assert (under["even"] == "v").all()
        assert (under["a"] == "x").all()
        assert abs((under["b"] == "y").mean() - 0.9) < 0.04

    def test_none_leave_the_autoencoder_alone(self):
        model = narrows.Synthesizer(training=Training(epochs=1), sweeps=0, random_state=0).fit(self.table(200))
        assert not model._source.redraws
        assert len(model.sample(10, random_state=0)) == 10

    def test_too_many_categories_for_them_are_said(self, monkeypatch):
        monkeypatch.setattr("narrows.tasks._cells.MOST_FEATURES", 3)
        model = narrows.Synthesizer(training=Training(epochs=1), random_state=0).fit(self.table(100))
        assert any("no sweeps" in reason for reason in model.reasons_)
        assert len(model.sample(10, random_state=0)) == 10


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
        with pytest.raises(InvalidParameter, match="no fitted narrows estimator"):
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

    def test_ten_thousand_categories(self):
        rng = np.random.default_rng(0)
        table = pd.DataFrame({"a": rng.normal(size=10_500), "b": [f"v{i % 10_000}" for i in range(10_500)]})
        model = narrows.Synthesizer(training=Training(epochs=1), random_state=0).fit(table)
        made = model.sample(3000, random_state=0)
        assert set(made["b"]) <= set(table["b"])
        assert made["b"].nunique() > 2000
        with pytest.raises(InvalidParameter, match=r"never holds 'w7'; its values are: .* and 9988 more"):
            model.sample(5, where="b = 'w7'")

    def test_a_column_whose_type_has_changed_is_named(self, fitted):
        changed = shop(20).assign(price="much")
        with pytest.raises(InvalidData, match="price"):
            fitted.margins_.forward(changed)
        with pytest.raises(InvalidData, match="should match"):
            fitted.margins_.forward(shop(20).drop(columns="price"))
        wanted, found = (fitted.margins_.forward(t, 0) for t in (shop(20), shop(20)[shop(20).columns[::-1]]))
        assert found.equals(wanted)  # columns in another order are known by name

    def test_a_single_row(self):
        with pytest.raises(InvalidData, match="at least 2 rows"):
            narrows.Synthesizer().fit(pd.DataFrame({"a": [1.0], "b": ["x"]}))

    def test_nothing_to_learn_from(self):
        with pytest.raises(InvalidData, match="one value only"):
            narrows.Synthesizer().fit(pd.DataFrame({"a": ["x"] * 9}))
        with pytest.raises(InvalidData, match="every cell"):
            narrows.Synthesizer().fit(pd.DataFrame({"a": [np.nan] * 9}))

    @pytest.mark.parametrize("params", [{"model": 3}, {"training": "long"}, {"steps": -1}, {"steps": 1.5}])
    def test_bad_parameters(self, params):
        with pytest.raises(InvalidParameter, match=f"Synthesizer.*{next(iter(params))}="):
            narrows.Synthesizer(**params).fit(shop(50))

    @pytest.mark.parametrize("n", [0, -1, 2.5, True, "many"])
    def test_bad_numbers_of_rows(self, fitted, n):
        with pytest.raises(InvalidParameter, match="whole number of at least 1"):
            fitted.sample(n)
