"""Parts: what follows from a constructor that stores its arguments and does nothing else."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import json
import math
import pickle
from typing import Annotated, Any, Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.base import clone

from narrows import bottlenecks, corruptions, likelihoods, networks, objectives, penalties, priors, training
from narrows._part import REGISTRY, Fraction, Interval, NotNegative, Part, Positive
from narrows.errors import InvalidParameter


class Fruit(Part, room="fruits", abstract=True):
    """A room for these tests."""


class Apple(Fruit):
    """A fruit."""

    weight: Annotated[float, Positive] = 0.2
    colour: Literal["red", "green"] = "red"
    seeds: Annotated[int, Interval(0, 20)] | None = None
    limit: float = math.inf


class BloodOrange(Fruit):
    """Another fruit."""

    slices: tuple[int, ...] = (10, 2)
    peeled: bool = False


class Basket(Fruit):
    """A fruit of fruits."""

    first: Fruit | None = None
    rest: tuple[Fruit, ...] = ()
    share: Annotated[float, Fraction] = 0.5


ROOMS = {
    "bottlenecks": bottlenecks,
    "corruptions": corruptions,
    "likelihoods": likelihoods,
    "networks": networks,
    "objectives": objectives,
    "penalties": penalties,
    "priors": priors,
    "training": training,
}
EXAMPLES: list[Part] = [
    Apple(),
    Apple(0.3, "green", seeds=5),
    Apple(limit=-math.inf),
    BloodOrange((1,)),
    Basket(Apple(0.4), (BloodOrange(), Basket(Apple(seeds=1))), share=1),
    bottlenecks.Plain(3, activation="tanh"),
    bottlenecks.Gaussian(covariance="full"),
    corruptions.Chain((corruptions.Gaussian(0.1), corruptions.Masking(0.5))),
    likelihoods.Mixed((likelihoods.Gaussian("column"), likelihoods.Categorical())),
    networks.Asymmetric(encoder=networks.Conv(channels=(4, 8)), decoder=networks.Dense(widths=(16,))),
    objectives.ImportanceWeighted(samples=3),
    penalties.Penalties(kl=penalties.KL(2, warmup=3), rest=None, sparsity=penalties.Sparsity(target=0.1)),
    penalties.Penalties(),
    priors.Mixture(components=4, covariance="diag"),
    training.Training(epochs=3, time_budget=1.5, device="cpu"),
]
parts = pytest.mark.parametrize("part", EXAMPLES, ids=repr)


class Scope(dict[str, Any]):
    """The rooms by name, the test's own included."""

    def __init__(self) -> None:
        super().__init__(ROOMS, fruits=type("fruits", (), {c.__name__: c for c in (Apple, BloodOrange, Basket)}))


# --- what every part can do ----------------------------------------------------------------------------------


@parts
def test_repr_can_be_typed_back(part: Part) -> None:
    again = eval(repr(part), {"__builtins__": {"float": float}}, Scope())
    assert again == part
    assert type(again) is type(part)


@parts
def test_json_round_trip(part: Part) -> None:
    text = json.dumps(part.to_config(), allow_nan=False)
    again = Part.from_config(json.loads(text))
    assert again == part
    assert again.to_config() == part.to_config()


@parts
def test_copies_are_equal(part: Part) -> None:
    for other in (pickle.loads(pickle.dumps(part)), copy.deepcopy(part), copy.copy(part), part.set_params()):
        assert other == part
        assert hash(other) == hash(part)
    assert clone(part) is part


@parts
def test_parts_never_change(part: Part) -> None:
    before = repr(part)
    for name in (*part.get_params(deep=False), "anything"):
        with pytest.raises((dataclasses.FrozenInstanceError, AttributeError)):
            setattr(part, name, 1)
    assert repr(part) == before


@parts
def test_parameters_are_those_of_the_constructor(part: Part) -> None:
    assert type(part)(**part.get_params(deep=False)) == part
    part.check()


@parts
def test_registered_under_room_and_name(part: Part) -> None:
    assert REGISTRY[part.key()] is type(part)
    assert part.key() == f"{part.room}.{type(part).__name__}"


def test_every_part_has_usable_defaults() -> None:
    for key, cls in REGISTRY.items():
        parameters = inspect.signature(cls).parameters.values()
        needs = [p.name for p in parameters if p.default is p.empty and p.kind is not p.VAR_KEYWORD]
        if cls.__module__.startswith("narrows.") and not needs:
            assert cls.__doc__, key
            part = cls()
            part.check()
            assert repr(part) == f"{key}()"


# --- equality ------------------------------------------------------------------------------------------------


def test_equality_is_of_class_and_parameters() -> None:
    assert Apple(0.3) == Apple(0.3)
    assert Apple(0.3) != Apple(0.4)
    assert corruptions.Masking(0.1) != corruptions.RowSwap(0.1)
    assert Apple() != "fruits.Apple()"
    assert len({Apple(), Apple(), Apple(0.3)}) == 2


def test_equality_looks_into_tuples() -> None:
    assert Basket(rest=(Apple(),)) == Basket(rest=(Apple(),))
    assert Basket(rest=(Apple(),)) != Basket(rest=(Apple(), Apple()))


@given(st.tuples(st.sampled_from([1, 1.0, True, 2])), st.tuples(st.sampled_from([1, 1.0, True, 2])))
def test_equal_parts_have_equal_hashes(a: tuple[Any], b: tuple[Any]) -> None:
    one, two = BloodOrange(a), BloodOrange(b)
    assert one != two or hash(one) == hash(two)


# --- parameters ----------------------------------------------------------------------------------------------


def test_nested_parameters_have_nested_names() -> None:
    basket = Basket(first=Basket(first=Apple(0.3)))
    deep = basket.get_params()
    assert deep["first__first__weight"] == 0.3
    assert deep["first__share"] == 0.5
    assert set(basket.get_params(deep=False)) == {"first", "rest", "share"}


def test_setting_makes_a_copy() -> None:
    basket = Basket(first=Apple(0.3))
    changed = basket.set_params(first__weight=0.9, share=0.1)
    assert changed == Basket(first=Apple(0.9), share=0.1)
    assert basket == Basket(first=Apple(0.3))


def test_a_part_and_its_parameters_can_be_set_at_once() -> None:
    changed = Basket().set_params(first__colour="green", first=Apple(0.7))
    assert changed.first == Apple(0.7, "green")


def test_unknown_and_impossible_names_are_refused() -> None:
    with pytest.raises(InvalidParameter, match=r"Invalid parameter 'wieght'.*'colour', 'limit', 'seeds', 'weight'"):
        Apple().set_params(wieght=1)
    with pytest.raises(InvalidParameter, match="first is None, which has no parameters"):
        Basket().set_params(first__weight=1)
    with pytest.raises(InvalidParameter, match="'wieght'"):
        Basket(first=Apple()).set_params(first__wieght=1)


def test_penalties_are_reached_by_name() -> None:
    several = penalties.Penalties(sparsity=penalties.Sparsity())
    assert several.set_params(sparsity__weight=3).get_params()["sparsity__weight"] == 3


# --- constraints ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("part", "message"),
    [
        (Apple(weight=0), "fruits.Apple: weight=0 cannot be used: it must be a number above 0"),
        (Apple(weight="heavy"), "weight='heavy' cannot be used: it must be a number above 0"),  # type: ignore[arg-type]
        (Apple(weight=math.nan), "weight=nan cannot be used"),
        (Apple(weight=True), "weight=True cannot be used"),
        (Apple(colour="blue"), "colour='blue' cannot be used: it must be 'red' or 'green'"),  # type: ignore[arg-type]
        (Apple(seeds=21), r"seeds=21 cannot be used: it must be a whole number in \[0, 20\] or None"),
        (Apple(seeds=2.5), "seeds=2.5 cannot be used: it must be a whole number"),  # type: ignore[arg-type]
        (BloodOrange(slices=(1, "two")), "must be a tuple of a whole number"),  # type: ignore[arg-type]
        (BloodOrange(slices=3), "must be a tuple of a whole number"),  # type: ignore[arg-type]
        (BloodOrange(peeled=1), "peeled=1 cannot be used: it must be True or False"),  # type: ignore[arg-type]
        (Basket(first=corruptions.Masking()), "it must be one of the fruits or None"),  # type: ignore[arg-type]
        (Basket(share=1.5), r"share=1.5 cannot be used: it must be a number in \[0, 1\]"),
    ],
)
def test_what_cannot_be_used_is_named_with_what_can(part: Part, message: str) -> None:
    with pytest.raises(InvalidParameter, match=message):
        part.check()


def test_nested_parts_are_checked_wherever_they_are() -> None:
    with pytest.raises(InvalidParameter, match="fruits.Apple: weight=-1"):
        Basket(first=Apple(-1)).check()
    with pytest.raises(InvalidParameter, match="fruits.Apple: weight=-1"):
        Basket(rest=(Apple(1), Apple(-1))).check()
    with pytest.raises(InvalidParameter, match="fraction=5"):
        corruptions.Chain((corruptions.Masking(5),)).check()


def test_numpy_numbers_are_numbers() -> None:
    part = Apple(weight=np.float32(0.5), seeds=np.int64(3))  # type: ignore[arg-type]
    part.check()
    assert part.to_config()["params"] == {"weight": 0.5, "colour": "red", "seeds": 3, "limit": {"float": "inf"}}


def test_nothing_is_checked_before_it_is_asked_for() -> None:
    # scikit-learn's contract: constructors store, fit checks
    assert Apple(weight=-5).weight == -5


@given(st.floats(allow_nan=False), st.floats(-1, 1), st.floats(-1, 1), st.booleans(), st.booleans())
def test_intervals(x: float, a: float, b: float, open_low: bool, open_high: bool) -> None:
    low, high = min(a, b), max(a, b)
    inside = Interval(low, high, open_low, open_high)(x)
    assert inside == ((x > low or (x == low and not open_low)) and (x < high or (x == high and not open_high)))
    assert Interval()(x)
    assert NotNegative(x) == (x >= 0)


def test_intervals_in_words() -> None:
    assert str(Positive) == "above 0"
    assert str(NotNegative) == "at least 0"
    assert str(Fraction) == "in [0, 1]"
    assert str(Interval(0, 1, open_low=True, open_high=True)) == "in (0, 1)"
    assert str(Interval(high=3)) == "at most 3"
    assert str(Interval(high=3, open_high=True)) == "below 3"


# --- files ---------------------------------------------------------------------------------------------------


def test_infinity_survives_json() -> None:
    config = json.loads(json.dumps(Apple().to_config(), allow_nan=False))
    assert Part.from_config(config).limit == math.inf  # type: ignore[attr-defined]


def test_lists_come_back_as_tuples() -> None:
    config = BloodOrange([3, 4]).to_config()  # type: ignore[arg-type]
    assert Part.from_config(config) == BloodOrange((3, 4))


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"part": "os.system", "params": {"command": "true"}}, "unknown part 'os.system'"),
        ({"part": "fruits.Fruit"}, "unknown part 'fruits.Fruit'"),  # abstract
        ({"part": 3}, "unknown part 3"),
        ({}, "unknown part None"),
        ({"part": "fruits.Apple", "params": {"size": 3}}, "fruits.Apple cannot be made from"),
        ({"part": "fruits.Apple", "params": [1]}, "must be an object"),
        ({"part": "fruits.Apple", "params": {"weight": -1}}, "weight=-1 cannot be used"),
        ({"part": "fruits.Basket", "params": {"first": {"part": "builtins.eval", "params": {}}}}, "builtins.eval"),
        (
            {"part": "fruits.Basket", "params": {"rest": [{"part": "fruits.Apple", "params": {"weight": 0}}]}},
            "weight=0",
        ),
    ],
)
def test_files_name_only_parts_that_are_known_and_fit(config: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidParameter, match=message):
        Part.from_config(config)


def test_what_is_not_plain_cannot_be_saved() -> None:
    with pytest.raises(InvalidParameter, match="cannot be saved"):
        Apple(weight=np.zeros(2)).to_config()  # type: ignore[arg-type]


# --- the command line ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("apple", Apple()),
        ("Apple:weight=0.5,colour=green", Apple(0.5, "green")),
        ("apple:seeds=none", Apple(seeds=None)),
        ("apple:weight=1e-3", Apple(1e-3)),
        ("blood-orange:slices=(1, 2),peeled=true", BloodOrange((1, 2), True)),
        ("bloodorange: slices=(4,)", BloodOrange((4,))),
        ("BLOOD_ORANGE:peeled=False", BloodOrange()),
    ],
)
def test_words_of_the_command_line(text: str, part: Part) -> None:
    assert Fruit.parse(text) == part


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("pear", "'pear' is not among the fruits: choose one of apple, basket, blood-orange"),
        ("", "'' is not among the fruits"),
        ("apple:heavy", "'heavy' in 'apple:heavy' is not a parameter: write apple:parameter=value"),
        ("apple:size=3", "the parameters of apple are weight, colour, seeds, limit"),
        ("apple:weight=-1", "weight=-1 cannot be used: it must be a number above 0"),
        ("apple:colour=blue", "colour='blue' cannot be used"),
        ("blood-orange:slices=(1, x)", "slices='\\(1, x\\)' cannot be used"),
    ],
)
def test_wrong_words_are_refused_with_the_right_ones(text: str, message: str) -> None:
    with pytest.raises(InvalidParameter, match=message):
        Fruit.parse(text)


def test_words_are_looked_for_in_their_own_room() -> None:
    assert corruptions.Corruption.parse("gaussian:scale=0.5") == corruptions.Gaussian(0.5)
    assert likelihoods.Likelihood.parse("gaussian") == likelihoods.Gaussian()
    with pytest.raises(InvalidParameter, match="not among the corruptions"):
        corruptions.Corruption.parse("apple")


# --- the registry --------------------------------------------------------------------------------------------


def test_two_parts_of_one_name_clash() -> None:
    with pytest.raises(InvalidParameter, match="two parts are named fruits.Apple"):
        type("Apple", (Fruit,), {"__module__": "elsewhere", "__doc__": "Another."})
    assert REGISTRY["fruits.Apple"] is Apple


def test_the_same_class_may_be_defined_again() -> None:
    # as a notebook does when a cell is run twice
    def cell() -> type[Fruit]:
        class Quince(Fruit):
            """A fruit."""

        return Quince

    try:
        cell()
        assert cell() is REGISTRY["fruits.Quince"]
    finally:
        REGISTRY.pop("fruits.Quince", None)


def test_abstract_and_private_classes_are_not_registered() -> None:
    class _Peel(Fruit):
        """Not a part of its own."""

    assert "fruits.Fruit" not in REGISTRY
    assert "fruits._Peel" not in REGISTRY
