"""``narrows generate`` and ``narrows evaluate``."""

from __future__ import annotations

import numpy as np
import pyarrow.parquet as pq
import pytest

from .conftest import refused, well


@pytest.fixture(scope="module")
def orders(tmp_path_factory):
    rng = np.random.default_rng(0)
    path = tmp_path_factory.mktemp("generate") / "orders.csv"
    lines = ["kind,price,count"]
    for _ in range(400):
        kind = rng.choice(["book", "game"], p=[0.7, 0.3])
        price = f"{10 + 20 * (kind == 'game') + rng.normal():.2f}" if rng.random() < 0.9 else ""
        lines.append(f"{kind},{price},{rng.integers(1, 90)}")
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture(scope="module")
def saved(orders):
    folder, out = orders.parent / "model", orders.parent / "new.parquet"
    told = well("generate", orders, "-n", 300, "--epochs", 20, "--save", folder, "--out", out, "--json")
    return folder, out, told


def test_a_table_is_learnt_sampled_and_measured(saved):
    folder, out, told = saved
    table = pq.read_table(out)
    assert table.column_names == ["kind", "price", "count"]
    assert table.num_rows == told.json["rows"] == 300
    assert set(table["kind"].to_pylist()) == {"book", "game"}
    assert 0 < table["price"].null_count < 90
    report = told.json["report"]
    assert report["target"] == "kind"
    assert report["shape_error"] < 0.2
    assert report["copying"]["rows_real"] == 40
    assert (folder / "model.json").is_file()


def test_a_model_gives_rows_under_conditions_and_its_report(saved, orders):
    folder, out, _ = saved
    told = well("generate", folder, "-n", 40, "--where", "kind='game' and price>20", "--seed", 1, "--out", out)
    assert "when it was fitted" in told.out
    assert "exact copies" in told.out
    table = pq.read_table(out)
    assert set(table["kind"].to_pylist()) == {"game"}
    assert min(table["price"].to_pylist()) > 20
    well(
        "generate",
        folder,
        "-n",
        40,
        "--where",
        "kind='game' and price>20",
        "--seed",
        1,
        "--out",
        orders.parent / "b.csv",
    )
    told = well("generate", folder, "-n", 50, "--balance", "kind", "--against", orders, "--out", out, "--json")
    assert pq.read_table(out)["kind"].to_pylist().count("game") == 25
    assert told.json["report"]["rows"] > 50  # the report is of unconditional rows


def test_one_row_is_measured_on_more_of_its_kind(orders, tmp_path):
    told = well("generate", orders, "-n", 1, "--epochs", 1, "--out", tmp_path / "one.csv", "--json")
    assert len((tmp_path / "one.csv").read_text().splitlines()) == 2
    assert told.json["rows"] == 1
    assert told.json["report"]["rows"] == 360
    assert told.json["report"]["copying"]["rows"] == 1


def test_groups_are_compared(saved, orders):
    told = well("evaluate", saved[0], orders, "--by", "kind")
    assert "of samples" in told.out
    assert "book" in told.out
    groups = well("evaluate", saved[0], orders, "--by", "count", "--json").json["groups"]
    assert len(groups) == 4
    assert all(g["error"]["low"] <= g["error"]["value"] <= g["error"]["high"] for g in groups)


def test_a_plain_model_can_generate_and_be_evaluated(table_run, csv, tmp_path):
    told = well("generate", table_run, "-n", 20, "--out", tmp_path / "x.csv")
    assert "--against SOURCE" in told.out
    assert len((tmp_path / "x.csv").read_text().splitlines()) == 21
    well("evaluate", table_run, csv, "--by", "colour")


def test_the_prior_is_judged_without_groups(table_run, csv, saved, orders):
    told = well("evaluate", table_run, csv)
    assert "nats per row" in told.out
    found = well("evaluate", table_run, csv, "--json").json
    assert found["least"]["low"] <= found["least"]["value"]
    assert found["sentence"][:20] in told.out
    assert "--by COLUMN" in refused("evaluate", saved[0], orders)


def test_refusals(saved, orders, tmp_path):
    folder, out = saved[0], tmp_path / "x.parquet"
    assert "'priec'" in refused("generate", folder, "--where", "priec > 1", "--out", out)
    assert "'game'" in refused("generate", folder, "--where", "kind = 'gaem'", "--out", out)
    assert "there is no column" in refused("generate", orders, "--where", "x > 1", "--out", out)
    assert "several statements" in refused("generate", orders, "--where", "price > 1; DROP TABLE data", "--out", out)
    assert "no such column" in refused("generate", orders, "--balance", "x", "--out", out)
    assert "end the name in" in refused("generate", orders, "--out", tmp_path / "x")
    assert "holds a synthesizer" in refused("encode", folder, orders, "--out", tmp_path / "c.csv")
    assert "no such column" in refused("evaluate", folder, orders, "--by", "sex")
    assert not list(tmp_path.iterdir())
