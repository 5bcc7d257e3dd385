"""A judge of made images: a small classifier of the data, whose inner numbers say which images look alike."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from narrows._types import Layout, Rows
from narrows.errors import InvalidData
from narrows.networks import Conv, Dense, Network
from narrows.networks.stem import StemModule
from narrows.tasks.inference import chunk_size, in_chunks
from narrows.training import Loop, Player, Training
from narrows.training.seeds import hash_seed, seeded

WIDTH = 64  # numbers between the network and the classes: the features
STEPS = 1_000  # of training, or a few passes over few rows
GROUPS = 10  # kinds that rows are sorted into where nobody says what they are
GROUPED_BY = 50  # directions of most variance that the sorting looks at
NOISE = 0.5  # of spoilt images at most, in units of the data's spread
BLUR = 5  # pixels a side that blur averages over, and pixels are scattered within
TESTED = 0.1  # share of rows on which the classifier is tested
SMALLEST = 8  # pixels on the shorter side of images that convolutions are used on


class JudgeStep(nn.Module):
    """A classifier: a network, features, one score per class. Its loss is the cross-entropy with ``target``.

    Args:
        layout: What a row looks like.
        network: Whose encoder narrows rows to features.
        classes: How many classes there are.
    """

    pure = True  # the same operations at every call, so that the loop may record them

    def __init__(self, layout: Layout, network: Network, classes: int) -> None:
        super().__init__()
        self.stem = StemModule(layout)
        self.body = network.encoder(self.stem.shape, WIDTH)
        self.head = nn.Linear(WIDTH, classes)

    def features(self, rows: Rows) -> Tensor:
        """``(B, 64)``, not negative."""
        return F.relu(self.body(self.stem(rows)))

    def forward(self, batch: dict[str, Tensor], epoch: Tensor) -> dict[str, Tensor]:
        """The loss on a batch: ``"loss"`` ``()`` in nats."""
        rows = Rows(**batch)
        assert rows.target is not None
        return {"loss": F.cross_entropy(self.head(self.features(rows)), rows.target)}


@dataclass(frozen=True)
class Judge:
    """A trained classifier.

    Attributes:
        step: The classifier.
        layout: What a row looks like.
        kinds: The classes that it tells apart, as text; numbers where images were sorted into kinds by k-means.
        named: Whether these were given.
        accuracy: Share of rows that it had not seen which it puts into the right class.
        chance: Share of the most frequent class among these.
    """

    step: JudgeStep
    layout: Layout
    kinds: tuple[str, ...]
    named: bool
    accuracy: float
    chance: float

    def features(self, rows: Rows) -> NDArray[np.float64]:
        """The inner numbers of rows, ``(n, 64)``.

        Args:
            rows: n rows of the judge's layout.
        """
        return np.asarray(self._of(self.step.features, rows).double().numpy())

    def tell(self, rows: Rows) -> list[str]:
        """The class that each image most likely is of, spoilt or not: n words of ``kinds``.

        Args:
            rows: n rows of the judge's layout.
        """
        scores = self._of(lambda part: self.step.head(self.step.features(part)), rows)
        return [self.kinds[place] for place in scores[:, : len(self.kinds)].argmax(1).tolist()]

    def _of(self, function: Callable[[Rows], Tensor], rows: Rows) -> Tensor:
        return in_chunks(function, rows, chunk_size(self.layout), torch.device("cpu"))

    def sentence(self) -> str:
        """What the features are, in plain words."""
        what = (
            f"the {len(self.kinds)} classes of the data" if self.named else f"{len(self.kinds)} kinds found by k-means"
        )
        return (
            f"Features are the {WIDTH} numbers before the last layer of a small classifier of {what}, and of images "
            f"that were spoilt by noise or blur. It is right on {self.accuracy:.0%} of images that it had not seen "
            f"(always the most frequent: {self.chance:.0%})."
        )


def train_judge(rows: Rows, layout: Layout, labels: Sequence[Any] | None = None, seed: int = 0) -> Judge:
    """Train a classifier on images, and on spoilt ones as further classes: else its features could overlook damage.

    Args:
        rows: n images of the data.
        layout: What an image looks like.
        labels: ``(n,)`` the class of every image; None, or of one class only: they are sorted into kinds by k-means.
        seed: Equal seeds give equal judges.

    Returns:
        The judge.

    Raises:
        InvalidData: If there are fewer than 20 images, or all are alike.
    """
    n = len(rows)
    if n < 2 * GROUPS:
        raise InvalidData(f"{n} images are too few to train a classifier on: give at least {2 * GROUPS}")
    given = np.zeros(n) if labels is None else np.asarray(labels)
    named = len(np.unique(given.astype(str))) > 1
    with seeded(hash_seed(seed, 41)):
        kinds, index = np.unique((given if named else _sorted(rows, layout, seed)).astype(str), return_inverse=True)
        classes = len(kinds)
        image = min(layout.shape[1:]) >= SMALLEST
        step = JudgeStep(layout, Conv() if image else Dense(widths=(128,)), classes + 3)
    order = np.random.default_rng(seed).permutation(n)
    told = rows.replace(target=torch.from_numpy(index.astype(np.int64)))
    tested, learnt = (told.take(torch.from_numpy(part)) for part in np.split(order, [max(1, round(TESTED * n))]))
    with seeded(hash_seed(seed, 43)):
        learnt = _with_spoilt(learnt, classes)
    epochs = max(4, -(-STEPS * 64 // len(learnt)))
    training = Training(epochs=epochs, batch_size=64, learning_rate=1e-3, validation=0, device="cpu", verbose=False)
    Loop(step, [Player(step, list(step.parameters()))], training, hash_seed(seed, 42)).fit(learnt)
    assert tested.target is not None
    judge = Judge(step, layout, tuple(kinds.tolist()), named, 0.0, float(tested.target.bincount().max() / len(tested)))
    right = np.array(judge.tell(tested)) == kinds[tested.target.numpy()]
    return replace(judge, accuracy=float(right.mean()))


def _with_spoilt(rows: Rows, classes: int) -> Rows:
    """Images, and three fifths as many again that were spoilt: a fifth each by noise, scattered pixels and blur."""
    some = max(1, len(rows) // 5)
    parts = [rows.take(torch.randperm(len(rows))[:some]) for _ in range(3)]
    noisy, scattered, dull = (part.values for part in parts)
    strength = NOISE * rows.values.std() * torch.rand(some, 1, 1, 1)
    noisy = noisy + strength * torch.randn_like(noisy)
    dull = F.avg_pool2d(dull, BLUR, 1, BLUR // 2, count_include_pad=False)
    spoilt = [
        part.replace(values=values, target=torch.full((some,), classes + number))
        for number, (part, values) in enumerate(zip(parts, (noisy, _scattered(scattered), dull), strict=True))
    ]
    names = rows.tensors()
    return Rows(**{name: torch.cat([part.tensors()[name] for part in (rows, *spoilt)]) for name in names})


def _scattered(images: Tensor) -> Tensor:
    """Every pixel is that of a place near by: what is empty stays so, where noise would not leave it."""
    n, channels, height, width = images.shape
    near = BLUR // 2
    lines, columns = (
        (torch.arange(side).reshape(shape) + torch.randint(-near, near + 1, (n, height, width))).clamp(0, side - 1)
        for side, shape in ((height, (1, -1, 1)), (width, (1, 1, -1)))
    )
    places = (lines * width + columns).reshape(n, 1, -1).expand(-1, channels, -1)
    return images.flatten(2).gather(2, places).reshape(images.shape)


def _sorted(rows: Rows, layout: Layout, seed: int) -> NDArray[np.int64]:
    """Kinds of images by k-means in the directions of most variance."""
    from sklearn.cluster import KMeans
    from sklearn.decomposition import PCA

    with torch.no_grad():
        flat = StemModule(layout)(rows).flatten(1).double().numpy()
    if not np.ptp(flat, axis=0).any():
        raise InvalidData(f"all {len(flat)} images are the same: there are no kinds of them to tell apart")
    low = PCA(min(GROUPED_BY, *flat.shape), random_state=seed).fit_transform(flat)
    return np.asarray(KMeans(GROUPS, n_init=3, random_state=seed).fit_predict(low), dtype=np.int64)
