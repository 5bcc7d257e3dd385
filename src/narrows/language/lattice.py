"""The likeliest sentence among all that could have been meant: a search through a lattice of words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from narrows.language.ngrams import BEGIN, END, Floats, Ints


class Scores(Protocol):
    """What judges sentences: `Ngrams`, or anything that tells ln p(c | a b)."""

    def log_prob(self, a: object, b: object, c: object) -> Floats:
        """Ln p(c | a b), in nats, for whole numbers or arrays that broadcast."""


@dataclass(frozen=True)
class Edge:
    """One reading of one piece of text, or of two.

    Attributes:
        start: The place of the first piece that it reads.
        end: The place behind the last.
        tokens: What the reading is, as tokens: one or two.
        cost: ln p(what was written | this was meant), in nats.
        words: The reading as words; empty: as it was written.
    """

    start: int
    end: int
    tokens: tuple[int, ...]
    cost: float
    words: tuple[str, ...] = ()

    @property
    def kept(self) -> bool:
        """Whether it takes the text as it was written."""
        return not self.words


@dataclass(frozen=True)
class Path:
    """A reading of a whole sentence, and how likely it is: ln p(meant) + ln p(written | meant), in nats."""

    score: float
    edges: tuple[Edge, ...]


@dataclass
class _State:
    score: float
    last: tuple[int, int]
    edge: Edge | None
    before: _State | None


def search(edges: Sequence[Edge], length: int, model: Scores, *, width: int = 32, weight: float = 1.0) -> list[Path]:
    """The likeliest readings of a sentence, the best first.

    From left to right, of all paths that end in the same two tokens the best is kept (Viterbi), and of these the
    ``width`` best.

    Args:
        edges: All readings of all pieces; some of them lead from 0 to ``length``.
        length: How many pieces there are.
        model: The language model.
        width: How many paths are kept at every place.
        weight: How much the language model counts.

    Returns:
        Complete readings.
    """
    ending: list[list[Edge]] = [[] for _ in range(length + 1)]
    for edge in edges:
        ending[edge.end].append(edge)
    beams: list[list[_State]] = [[_State(0.0, (BEGIN, BEGIN), None, None)]] + [[] for _ in range(length)]
    for place in range(1, length + 1):
        kinds = sorted({(e.start, len(e.tokens)) for e in ending[place] if beams[e.start]})
        ways = [
            _Ways.of(beams[start], [e for e in ending[place] if (e.start, len(e.tokens)) == (start, n)], model, weight)
            for start, n in kinds
        ]
        beams[place] = _best(ways, width)
    last = np.array([s.last for s in beams[length]], np.int64).reshape(-1, 2)
    ends = weight * model.log_prob(last[:, 0], last[:, 1], END)
    paths = [Path(s.score + float(e), _edges(s)) for s, e in zip(beams[length], ends, strict=True)]
    return sorted(paths, key=lambda p: -p.score)


def score(path: Sequence[Edge], model: Scores, weight: float = 1.0) -> float:
    """How likely one reading is, in nats, as `search` has it."""
    tokens = [BEGIN, BEGIN, *(t for e in path for t in e.tokens), END]
    line = np.array(tokens, np.int64)
    return weight * float(model.log_prob(line[:-2], line[1:-1], line[2:]).sum()) + sum(e.cost for e in path)


def gain(path: Sequence[Edge], place: int, instead: Sequence[Edge], model: Scores, weight: float = 1.0) -> float:
    """How much likelier a reading is than the same with other edges in the place of one, in nats.

    The difference of their `score`, of which all cancels but the tokens of these edges and the two behind them.

    Args:
        path: The reading.
        place: Which of its edges.
        instead: The other edges.
        model: The language model.
        weight: How much the language model counts.
    """
    before = [BEGIN, BEGIN, *(t for e in path[max(0, place - 2) : place] for t in e.tokens)][-2:]
    after = [t for e in path[place + 1 : place + 3] for t in e.tokens]
    after = [*after, END][:2] if place + 3 >= len(path) else after[:2]

    def part(edges: Sequence[Edge]) -> float:
        line = np.array([*before, *(t for e in edges for t in e.tokens), *after], np.int64)
        return weight * float(model.log_prob(line[:-2], line[1:-1], line[2:]).sum()) + sum(e.cost for e in edges)

    return part([path[place]]) - part(instead)


@dataclass
class _Ways:
    """Every way on from some states by some edges of equally many tokens, state by state."""

    states: list[_State]
    edges: list[Edge]
    scores: Floats
    before: Ints
    last: Ints

    @classmethod
    def of(cls, states: list[_State], edges: list[Edge], model: Scores, weight: float) -> _Ways:
        """Their scores and last two tokens, one per pair."""
        total = np.add.outer([s.score for s in states], [e.cost for e in edges])
        a, b = (np.broadcast_to(t[:, None], total.shape) for t in np.array([s.last for s in states], np.int64).T)
        for token in np.array([e.tokens for e in edges], np.int64).T:
            token = np.broadcast_to(token, total.shape)
            total = total + weight * model.log_prob(a, b, token)
            a, b = b, token
        return cls(states, edges, total.ravel(), a.ravel(), b.ravel())


def _best(ways: Sequence[_Ways], width: int) -> list[_State]:
    """The best way to each pair of last tokens, and of these the ``width`` best."""
    if not ways:
        return []
    scores, before, last = (np.concatenate([getattr(w, name) for w in ways]) for name in ("scores", "before", "last"))
    order = np.lexsort((-scores, last, before))
    new = np.diff(before[order], prepend=-1) | np.diff(last[order], prepend=-1)
    first = order[new != 0]
    found, starts = [], np.cumsum([0, *(len(w.scores) for w in ways)])
    for i in first[np.argsort(-scores[first], kind="stable")[:width]].tolist():
        which = int(np.searchsorted(starts, i, side="right")) - 1
        state, edge = divmod(i - int(starts[which]), len(ways[which].edges))
        pair = int(before[i]), int(last[i])
        found.append(_State(float(scores[i]), pair, ways[which].edges[edge], ways[which].states[state]))
    return found


def _edges(state: _State | None) -> tuple[Edge, ...]:
    found = []
    while state is not None and state.edge is not None:
        found.append(state.edge)
        state = state.before
    return tuple(reversed(found))
