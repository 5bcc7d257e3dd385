"""Quantised codes: which entry, what it costs, how entries move, and what gradients see."""

from __future__ import annotations

import math

import pytest
import torch

from narrows.bottlenecks import Bottleneck, FiniteScalar, Quantised
from narrows.bottlenecks._quantised import perplexity
from narrows.errors import InvalidParameter


def book(part: Quantised, entries: list, used: float = 1.0):
    """A built bottleneck with a given codebook."""
    module = part.build()
    module.codebook.copy_(torch.tensor(entries, dtype=torch.float32))
    module.used.fill_(used)
    return module


PAIR = [[[0.0, 0.0], [4.0, 0.0]], [[0.0, 0.0], [0.0, 2.0]]]  # two sub-codes of two numbers, two entries each


def test_the_nearest_entry_is_chosen_and_the_distance_charged():
    module = book(Quantised(4, entries=2, subcodes=2, commitment=0.5), PAIR).eval()
    phi = torch.tensor([[3.0, 1.0, 0.0, 0.5], [1.0, 0.0, 1.0, 3.0]])
    code = module(phi)
    assert code.z.tolist() == [[4, 0, 0, 0], [0, 0, 0, 2]]
    assert module.indices(phi).tolist() == [[1, 0], [0, 1]]
    assert module.indices(code.z).tolist() == [[1, 0], [0, 1]]
    assert module.lookup(torch.tensor([[1, 1]])).tolist() == [[4, 0, 0, 2]]
    assert module.snap(torch.tensor([2.5, 9.0, 9.0, 0.9])).tolist() == [4, 0, 0, 0]
    # 0.5 × (1 + 1 + 0.25) and 0.5 × (1 + 1 + 1)
    assert code.cost.tolist() == [1.125, 1.5]


def test_gradients_pass_straight_through_and_the_cost_pulls_phi_to_its_entry():
    module = book(Quantised(2, entries=2, subcodes=1, commitment=0.5), PAIR[:1]).eval()
    phi = torch.tensor([[3.0, 1.0]], requires_grad=True)
    code = module(phi)
    (code.z * torch.tensor([2.0, -3.0])).sum().backward()
    assert phi.grad.tolist() == [[2.0, -3.0]]
    phi.grad = None
    code.cost.sum().backward()
    assert phi.grad.tolist() == [[-1.0, 1.0]]  # 2 × 0.5 × (φ − z)
    assert not module.codebook.requires_grad


def test_entries_follow_the_mean_of_what_chose_them():
    module = book(Quantised(1, entries=2, decay=0.9, revival=0.0), [[[0.0], [10.0]]], used=2.0)
    module(torch.tensor([[1.0], [2.0], [3.0], [14.0]]))
    # N = 0.9 × 2 + 0.1 × 3 = 2.1, e = 0 + 0.1 × 6 / 2.1; and N = 1.9, e = 10 + 0.1 × 4 / 1.9
    torch.testing.assert_close(module.used, torch.tensor([[2.1, 1.9]]))
    torch.testing.assert_close(module.codebook, torch.tensor([[[0.6 / 2.1], [10 + 0.4 / 1.9]]]))


def test_this_is_the_papers_moving_average_of_sums_and_counts():
    torch.manual_seed(1)
    module = book(Quantised(2, entries=3, subcodes=1, decay=0.8, revival=0.0), [[[0, 0], [1, 1], [-1, 1]]], used=5.0)
    count, total = module.used[0].clone(), 5 * module.codebook[0].clone()
    for _ in range(20):
        phi = torch.randn(9, 2)
        chosen = torch.nn.functional.one_hot(module.indices(phi)[:, 0], 3).float()
        module(phi)
        count = 0.8 * count + 0.2 * chosen.sum(0)
        total = 0.8 * total + 0.2 * chosen.T @ phi
        torch.testing.assert_close(module.codebook[0], total / count.unsqueeze(1))


def test_evaluation_moves_nothing():
    module = Quantised(4, entries=8).build().eval()
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    module(torch.randn(20, 4))
    module.train().mean(torch.randn(20, 4))
    assert all(torch.equal(before[name], tensor) for name, tensor in module.state_dict().items())


def test_the_first_batch_places_all_entries_and_dead_ones_come_back():
    phi = 100 + torch.randn(50, 2)
    module = Quantised(2, entries=10, subcodes=1, decay=0.5).build()
    module(phi)
    assert (module.codebook > 90).all()
    module.codebook[0, :5] = -1000.0  # far from every row: nobody chooses these
    for _ in range(12):
        module(phi)
    assert (module.codebook > 90).all()
    left = book(Quantised(2, entries=2, subcodes=1, decay=0.5, revival=0.0), [[[100, 100], [-1000, -1000]]])
    for _ in range(12):
        left(phi)
    assert left.codebook[0, 1].tolist() == [-1000, -1000]


def test_a_codebook_finds_the_clusters_of_its_rows():
    centres = torch.tensor([[0.0, 0], [8, 0], [0, 8], [8, 8]])
    module = Quantised(2, entries=12, subcodes=1, decay=0.9).build()
    for _ in range(100):
        module(centres[torch.randint(4, (64,))] + 0.3 * torch.randn(64, 2))
    assert (module.snap(centres) - centres).norm(dim=1).max() < 1


@pytest.mark.parametrize(
    ("size", "subcodes", "parts", "numbers"), [(6, None, 3, 2), (5, None, 5, 1), (6, 2, 2, 3), (6, 1, 1, 6)]
)
def test_how_a_code_is_cut(size: int, subcodes: int | None, parts: int, numbers: int):
    module = Quantised(size, entries=7, subcodes=subcodes).build()
    assert module.codebook.shape == (parts, 7, numbers)
    assert module.entries_per_subcode.tolist() == [7] * parts


def test_levels_lie_evenly_and_are_rounded_to():
    phi = torch.tensor([[0.1, 0.1, math.atanh(0.4), 9.0], [-0.1, -0.6, math.atanh(0.2), -9.0]])
    module = FiniteScalar(4, levels=(2, 3, 4, 5)).build()
    z = module(phi).z
    torch.testing.assert_close(z, torch.tensor([[1, 0, 1 / 3, 1], [-1, -1, 1 / 3, -1]]))
    assert module.indices(z).tolist() == [[1, 1, 2, 4], [0, 0, 2, 0]]
    torch.testing.assert_close(module.lookup(module.indices(z)), z)
    torch.testing.assert_close(module.snap(torch.tensor([0.1, -0.4, 3.0, 0.6])), torch.tensor([1, 0, 1, 0.5]))


def test_rounding_has_the_gradient_of_tanh():
    phi = torch.tensor([[0.3, -1.2]], requires_grad=True)
    FiniteScalar(2, levels=3).build()(phi).z.sum().backward()
    torch.testing.assert_close(phi.grad, 1 - phi.detach().tanh() ** 2)


def test_perplexity():
    indices = torch.tensor([[0, 0, 5], [1, 0, 5], [2, 0, 1], [3, 0, 5]])
    expected = [4, 1, math.exp(-(0.75 * math.log(0.75) + 0.25 * math.log(0.25)))]
    torch.testing.assert_close(perplexity(indices), torch.tensor(expected, dtype=torch.float64))


def test_what_cannot_be_built():
    with pytest.raises(InvalidParameter, match=r"6 numbers cannot be cut into 4 .* 1, 2, 3, 6"):
        Quantised(6, subcodes=4).build()
    with pytest.raises(InvalidParameter, match="for 2 numbers, but a code has 3"):
        FiniteScalar(3, levels=(4, 4)).build()
    for bad, name in ((Quantised(2, entries=1), "entries"), (FiniteScalar(2, levels=1), "levels")):
        with pytest.raises(InvalidParameter, match=f"{name}=1"):
            bad.check()
    assert Bottleneck.parse("finite-scalar:levels=(3,4),size=2") == FiniteScalar(2, (3, 4))
