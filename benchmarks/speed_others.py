"""Contenders of the speed benchmark that bring their own engine, and narrows."""

from __future__ import annotations

import itertools
import os
from typing import Any

import numpy as np
from speed_case import LEVELS, RATE, Case, Predict, Watch, places

NUMBERS = 18  # columns of the mixed table that are no categories


def sklearn(case: Case, watch: Watch) -> None:
    """scikit-learn's MLPRegressor, which has its activation on the code too."""
    from sklearn.neural_network import MLPRegressor

    model = MLPRegressor(
        hidden_layer_sizes=(*case.widths, *case.widths[-2::-1]),
        activation=case.activation,
        alpha=0.0,
        batch_size=case.batch,
        learning_rate_init=RATE,
    )
    while True:
        model.partial_fit(case.train, case.train)
        watch(model.predict)


def keras(case: Case, watch: Watch) -> None:
    """Keras 3 on JAX."""
    import keras

    layers, act = keras.layers, case.activation
    if case.images:
        net = [layers.Input((28, 28, 1))]
        net += [layers.Conv2D(c, 3, 2, "same", activation=act) for c in (16, 32, 64)]
        net += [layers.Flatten(), layers.Dense(case.widths[0]), layers.Dense(1024, act), layers.Reshape((4, 4, 64))]
        for channels, crop in ((64, 1), (32, 0), (16, 0)):
            net += [layers.Conv2D(channels, 3, padding="same", activation=act), layers.UpSampling2D()]
            net += [layers.Cropping2D(((0, 1), (0, 1)))] if crop else []
        net += [layers.Conv2D(1, 3, padding="same")]
    else:
        d, widths = case.train.shape[1], case.widths
        net = [layers.Input((d,)), *(layers.Dense(w, act) for w in widths[:-1]), layers.Dense(widths[-1])]
        net += [*(layers.Dense(w, act) for w in widths[-2::-1]), layers.Dense(d)]
    model = keras_lstm(case) if case.name == "lstm" else keras.Sequential(net)
    model.compile(optimizer=keras.optimizers.Adam(RATE), loss="mse")

    class Look(keras.callbacks.Callback):
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            watch(predict)

    def predict(x: np.ndarray) -> np.ndarray:
        return np.asarray(model(x.reshape(len(x), *model.input_shape[1:]), training=False))

    x = case.train.reshape(len(case.train), *model.input_shape[1:])
    model.fit(x, x, batch_size=case.batch, epochs=case.epochs, shuffle=True, verbose=0, callbacks=[Look()])


def keras_lstm(case: Case) -> Any:
    """The recurrent network of the others in Keras."""
    import keras

    layers, (hidden, size), steps = keras.layers, case.widths, case.train.shape[1]
    told = places(steps)
    x = layers.Input((steps,))
    z = layers.Dense(size)(layers.LSTM(hidden)(layers.Reshape((steps, 1))(x)))
    state = [layers.Dense(hidden, "tanh")(z), layers.Dense(hidden, "tanh")(z)]
    given = layers.Lambda(
        lambda z: keras.ops.concatenate(
            [
                keras.ops.repeat(z[:, None], steps, 1),
                keras.ops.broadcast_to(told, (keras.ops.shape(z)[0], *told.shape)),
            ],
            -1,
        )
    )(z)
    y = layers.Dense(1)(layers.LSTM(hidden, return_sequences=True)(given, initial_state=state))
    return keras.Model(x, layers.Reshape((steps,))(y))


def jax_scan(case: Case, watch: Watch) -> None:
    """A hand-written epoch in JAX, compiled as a whole: dense networks only."""
    import jax
    import jax.numpy as jnp

    vae, size, d = case.name == "vae", case.widths[-1], case.train.shape[1]
    act = jnp.tanh if case.activation == "tanh" else jax.nn.relu
    inwards, outwards = [d, *case.widths[:-1], 2 * size if vae else size], [*case.widths[::-1], d]

    def made(key: Any, widths: list[int]) -> Any:
        keys = jax.random.split(key, len(widths) - 1)
        pairs = zip(keys, itertools.pairwise(widths), strict=True)
        limit = jax.nn.initializers.glorot_uniform()
        return [(limit(k, pair), jnp.zeros(pair[1])) for k, pair in pairs]

    def net(layers: Any, h: Any) -> Any:
        for w, b in layers[:-1]:
            h = act(h @ w + b)
        return h @ layers[-1][0] + layers[-1][1]

    def loss(params: Any, x: Any, key: Any) -> Any:
        h = net(params[0], x)
        if not vae:
            return ((net(params[1], h) - x) ** 2).mean()
        mean, log_var = h[:, :size], h[:, size:]
        y = net(params[1], mean + jnp.exp(log_var / 2) * jax.random.normal(key, mean.shape))
        bce = jnp.maximum(y, 0) - y * x + jnp.log1p(jnp.exp(-jnp.abs(y)))
        return (bce.sum(1) + 0.5 * (mean**2 + jnp.exp(log_var) - 1 - log_var).sum(1)).mean()

    def step(state: Any, at: Any) -> Any:
        (params, m, v, t, x), (index, key) = state, at
        g, t = jax.grad(loss)(params, x[index], key), t + 1
        m = jax.tree.map(lambda a, b: 0.9 * a + 0.1 * b, m, g)
        v = jax.tree.map(lambda a, b: 0.999 * a + 0.001 * b * b, v, g)
        rate = RATE * jnp.sqrt(1 - 0.999**t) / (1 - 0.9**t)
        return (jax.tree.map(lambda p, a, b: p - rate * a / (jnp.sqrt(b) + 1e-8), params, m, v), m, v, t, x), None

    @jax.jit
    def epoch(state: Any, key: Any) -> Any:
        steps = len(case.train) // case.batch
        order = jax.random.permutation(key, len(case.train))[: steps * case.batch].reshape(steps, case.batch)
        return jax.lax.scan(step, state, (order, jax.random.split(key, steps)))[0]

    def predict(x: np.ndarray) -> np.ndarray:
        y = net(state[0][1], net(state[0][0], x)[:, :size])
        return np.asarray(jax.nn.sigmoid(y) if vae else y)

    keys = jax.random.split(jax.random.key(int.from_bytes(os.urandom(3))), 3)
    params = [made(keys[0], inwards), made(keys[1], outwards)]
    zeros = jax.tree.map(jnp.zeros_like, params)
    state: Any = (params, zeros, zeros, 0.0, jnp.asarray(case.train))
    key = keys[2]
    while True:
        key, now = jax.random.split(key)
        state = jax.block_until_ready(epoch(state, now))
        watch(predict)


def ours(case: Case, watch: Watch, **settings: Any) -> None:
    """The estimator's ``fit``, everything included: format, loop, history."""
    import torch

    import narrows
    from narrows import likelihoods, networks
    from narrows._types import Rows
    from narrows.data import Series
    from narrows.training import Loop, Training

    torch.set_num_threads(1)
    kind = narrows.VariationalAutoencoder if case.name == "vae" else narrows.Autoencoder
    formats: list[Any] = []

    class Watched(Loop):
        def _record(self) -> bool:
            stop = super()._record()
            watch(predict(self.module.model))
            return stop

    class Opened(kind):  # type: ignore[misc, valid-type]
        def _open(self, X: Any) -> Any:
            format_, rows = super()._open(X)
            formats.append(format_)
            return format_, rows

    def predict(module: Any) -> Predict:
        def call(x: np.ndarray) -> np.ndarray:
            # pixels are scaled to [0, 1] as they are here; the columns of a table by mean and standard deviation
            raw = as_table(x) if case.name == "mixed" else x
            values = torch.from_numpy(x).reshape(-1, 1, 28, 28) if case.pixels else formats[-1].to_rows(raw).values
            module.eval()
            with torch.no_grad():
                told = module.decode(module.encode(Rows(values)))
            module.train()
            if case.name == "mixed":
                return chances(told)
            return told.mean.numpy() if case.pixels else formats[-1].from_values(told.mean)

        return call

    narrows.estimators._base.Loop = Watched  # type: ignore[attr-defined]
    network = networks.Dense(case.widths[:-1], activation=case.activation)
    if case.images:
        network = networks.Conv((16, 32, 64), activation="relu")  # type: ignore[assignment]
    if case.name == "lstm":
        network = networks.Recurrent(hidden=case.widths[0], bidirectional=False)  # type: ignore[assignment]
    training = Training(epochs=case.epochs, batch_size=case.batch, validation=0.0, **settings)
    number: Any = likelihoods.Gaussian(scale=1.0)
    likelihood = likelihoods.Bernoulli() if case.name == "vae" else number
    if case.name == "mixed":
        likelihood = likelihoods.Mixed((number,) * NUMBERS + (likelihoods.Categorical(),) * len(LEVELS))
    chosen = {"format": Series()} if case.name == "lstm" else {}
    Opened(case.widths[-1], network=network, likelihood=likelihood, training=training, **chosen).fit(raw(case))


def as_table(x: np.ndarray) -> Any:
    """The mixed table with words for categories, as it would lie in a file."""
    import pyarrow as pa

    columns = {f"x{j}": pa.array(x[:, j]) for j in range(NUMBERS)}
    for j, block in enumerate(np.split(x[:, NUMBERS:], np.cumsum(LEVELS)[:-1], axis=1)):
        columns[f"c{j}"] = pa.array(np.array([f"level {k}" for k in range(LEVELS[j])])[block.argmax(1)])
    return pa.table(columns)


def chances(told: Any) -> np.ndarray:
    """Means of numbers, then the probability of every level of every category."""
    blocks = [told.probabilities(NUMBERS + j) for j in range(len(LEVELS))]
    return np.concatenate([told.mean[:, :NUMBERS].numpy(), *(b.numpy() for b in blocks)], 1)


def raw(case: Case) -> np.ndarray:
    """The training rows as a user of narrows would hand them in: images in bytes, and in no other way besides."""
    if case.name == "mixed" and isinstance(case.train, np.ndarray):
        case.train = as_table(case.train)
    if case.pixels and case.train.dtype != np.uint8:
        whole = np.empty((len(case.train), 28, 28), dtype=np.uint8)
        for i, row in enumerate(case.train):
            whole[i] = np.round(row.reshape(28, 28) * 255)
        case.train = whole
    return case.train


def narrows_same(case: Case, watch: Watch) -> None:
    """Ours with the optimiser settings of all others."""
    ours(case, watch, learning_rate=RATE, schedule="constant")


def narrows_own(case: Case, watch: Watch) -> None:
    """Ours with its own learning rate and schedule."""
    ours(case, watch)
