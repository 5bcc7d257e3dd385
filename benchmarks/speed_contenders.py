"""One contender of the speed benchmark in a process of its own, run by benchmarks/speed.py; needs only numpy at first.

    python benchmarks/speed_contenders.py CONTENDER CASE DATA.npz CLOCK

Answers every line ``trial`` on the standard input with one line of JSON: for each epoch of a fit from scratch the seconds
since ``fit`` was called, in which looking at the validation rows does not count, and the squared error there; and the
largest resident memory of the process so far, in MiB.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[name] = "1"
os.environ["KERAS_BACKEND"] = "jax"
os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"

RATE = 1e-3
Predict = Callable[[np.ndarray], np.ndarray]


class Finished(Exception):
    """The last epoch is over: leave the contender's own loop."""


class Watch:
    """Notes seconds and validation error after every epoch; the clock stands still meanwhile."""

    def __init__(self, validation: np.ndarray, epochs: int, clock: Callable[[], float]) -> None:
        self.validation, self.epochs, self.clock = validation, epochs, clock
        self.seen: list[tuple[float, float]] = []
        self.begun = clock()

    def __call__(self, predict: Predict) -> None:
        """An epoch is over."""
        now = self.clock()
        shape = self.validation.shape
        error = float(((np.asarray(predict(self.validation)).reshape(shape) - self.validation) ** 2).mean())
        self.seen.append((now - self.begun, error))
        self.begun += self.clock() - now
        if len(self.seen) == self.epochs:
            raise Finished


class Case:
    """Data and network of a case."""

    def __init__(self, name: str, path: str) -> None:
        with np.load(path) as data:
            self.train, self.validation = data["train"], data["validation"]
            self.batch, self.epochs = int(data["batch"]), int(data["epochs"])
        self.name = name
        self.images = name == "conv"
        self.activation = "tanh" if name == "tiny" else "relu"
        # hidden widths of the encoder, then the code
        self.widths = {"dense": (256, 64), "tiny": (6, 4, 2), "vae": (512, 16), "conv": (32,), "wide": (64, 16)}[name]


# --- PyTorch -------------------------------------------------------------------------------------------------


def torch_parts(case: Case) -> tuple[Any, Any]:
    """Encoder (twice as wide at the end for a VAE) and decoder as torch modules."""
    import torch
    from torch import nn

    torch.set_num_threads(1)
    if case.images:
        return conv_parts(case)
    act = nn.Tanh if case.activation == "tanh" else nn.ReLU
    d, widths = case.train.shape[1], case.widths

    def stack(sizes: list[int]) -> Any:
        layers: list[Any] = []
        for a, b in zip(sizes, sizes[1:], strict=False):
            layers += [nn.Linear(a, b), act()]
        return nn.Sequential(*layers[:-1])

    code = 2 * widths[-1] if case.name == "vae" else widths[-1]
    return stack([d, *widths[:-1], code]), stack([*widths[::-1], d])


def conv_parts(case: Case) -> tuple[Any, Any]:
    """Strided convolutions 28 → 14 → 7 → 4 and back by repeating pixels, as narrows builds them."""
    from torch import nn

    (size,), c = case.widths, (16, 32, 64)
    encoder = nn.Sequential(
        *[m for a, b in zip((1, 16, 32), c, strict=True) for m in (nn.Conv2d(a, b, 3, 2, 1), nn.ReLU())],
        nn.Flatten(), nn.Linear(64 * 16, size),
    )  # fmt: skip
    decoder = nn.Sequential(
        nn.Linear(size, 64 * 16), nn.ReLU(), nn.Unflatten(1, (64, 4, 4)),
        nn.Conv2d(64, 64, 3, padding=1), nn.ReLU(), nn.Upsample(size=7),
        nn.Conv2d(64, 32, 3, padding=1), nn.ReLU(), nn.Upsample(size=14),
        nn.Conv2d(32, 16, 3, padding=1), nn.ReLU(), nn.Upsample(size=28),
        nn.Conv2d(16, 1, 3, padding=1),
    )  # fmt: skip
    return encoder, decoder


def torch_model(case: Case) -> Any:
    """The whole network; for a VAE its forward returns reconstruction and KL divergence."""
    import torch
    from torch import nn

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encoder, self.decoder = torch_parts(case)

        def forward(self, x: Any) -> Any:
            h = self.encoder(x)
            if case.name != "vae":
                return self.decoder(h)
            mean, log_var = h.chunk(2, dim=1)
            z = mean + (log_var / 2).exp() * torch.randn_like(mean) if self.training else mean
            kl = 0.5 * (mean.square() + log_var.exp() - 1 - log_var).sum(1).mean()
            return self.decoder(z), kl

    return Model()


def torch_loss(case: Case, output: Any, x: Any) -> Any:
    """Squared error; cross-entropy and KL divergence for a VAE."""
    import torch.nn.functional as F

    if case.name != "vae":
        return F.mse_loss(output, x)
    logits, kl = output
    return F.binary_cross_entropy_with_logits(logits, x, reduction="sum") / len(x) + kl


def torch_predict(case: Case, model: Any) -> Predict:
    """Reconstructions as arrays."""
    import torch

    def predict(x: np.ndarray) -> np.ndarray:
        model.eval()
        with torch.no_grad():
            output = model(torch.from_numpy(x))
        model.train()
        return (torch.sigmoid(output[0]) if case.name == "vae" else output).numpy()

    return predict


def by_hand(case: Case, watch: Watch, loader: bool) -> None:
    """A hand-written loop, with a DataLoader as tutorials have it or with batches by index and fused Adam."""
    import torch
    from torch.utils.data import DataLoader, TensorDataset

    model, x = torch_model(case), torch.from_numpy(case.train)
    if case.images and not loader:
        model, x = model.to(memory_format=torch.channels_last), x.to(memory_format=torch.channels_last)
    optimiser = torch.optim.Adam(model.parameters(), RATE, fused=not loader or None)
    predict = torch_predict(case, model)

    def batches() -> Any:
        if loader:
            return (b for (b,) in DataLoader(TensorDataset(x), case.batch, shuffle=True, drop_last=True))
        order = torch.randperm(len(x))[: len(x) // case.batch * case.batch]
        return (x[index] for index in order.split(case.batch))

    while True:
        for batch in batches():
            optimiser.zero_grad()
            torch_loss(case, model(batch), batch).backward()
            optimiser.step()
        watch(predict)


def tutorial(case: Case, watch: Watch) -> None:
    """PyTorch with a DataLoader."""
    by_hand(case, watch, loader=True)


def indexed(case: Case, watch: Watch) -> None:
    """PyTorch with batches by index, fused Adam and, for images, channels last."""
    by_hand(case, watch, loader=False)


def lightning(case: Case, watch: Watch) -> None:
    """Lightning's Trainer."""
    import logging
    import warnings

    import lightning as L
    import torch
    from torch.utils.data import DataLoader, TensorDataset

    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore")
    model = torch_model(case)
    predict = torch_predict(case, model)

    class Module(L.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def training_step(self, batch: Any, index: int) -> Any:
            return torch_loss(case, self.model(batch[0]), batch[0])

        def configure_optimizers(self) -> Any:
            return torch.optim.Adam(self.parameters(), RATE)

        def on_train_epoch_end(self) -> None:
            watch(predict)

    trainer = L.Trainer(
        max_epochs=case.epochs, logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, accelerator="cpu", devices=1,
    )  # fmt: skip
    data = TensorDataset(torch.from_numpy(case.train))
    trainer.fit(Module(), DataLoader(data, case.batch, shuffle=True, drop_last=True))


def skorch(case: Case, watch: Watch) -> None:
    """skorch's NeuralNet."""
    import torch
    from skorch import NeuralNet
    from skorch.callbacks import Callback

    class Look(Callback):
        def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
            watch(torch_predict(case, net.module_))

    net = NeuralNet(
        torch_model(case), criterion=torch.nn.MSELoss, optimizer=torch.optim.Adam, lr=RATE, batch_size=case.batch,
        max_epochs=case.epochs, train_split=None, verbose=0, iterator_train__shuffle=True,
        iterator_train__drop_last=True, callbacks=[Look()],
    )  # fmt: skip
    net.fit(case.train, case.train)


def pythae(case: Case, watch: Watch) -> None:
    """pythae's AE and VAE under its BaseTrainer."""
    import logging
    import tempfile

    import torch
    from pythae.data.datasets import BaseDataset
    from pythae.models import AE, VAE, AEConfig, VAEConfig
    from pythae.models.base.base_utils import ModelOutput
    from pythae.models.nn import BaseDecoder, BaseEncoder
    from pythae.trainers import BaseTrainer, BaseTrainerConfig
    from pythae.trainers.training_callbacks import TrainingCallback

    logging.disable(logging.WARNING)
    inwards, outwards = torch_parts(case)
    vae = case.name == "vae"

    class Encoder(BaseEncoder):
        def __init__(self) -> None:
            super().__init__()
            self.net = inwards

        def forward(self, x: Any) -> Any:
            h = self.net(x)
            if not vae:
                return ModelOutput(embedding=h)
            mean, log_var = h.chunk(2, dim=1)
            return ModelOutput(embedding=mean, log_covariance=log_var)

    class Decoder(BaseDecoder):
        def __init__(self) -> None:
            super().__init__()
            self.net = outwards

        def forward(self, z: Any) -> Any:
            out = self.net(z)
            return ModelOutput(reconstruction=torch.sigmoid(out) if vae else out)

    shape, size = case.train.shape[1:], case.widths[-1]
    if vae:
        config = VAEConfig(input_dim=shape, latent_dim=size, reconstruction_loss="bce")
        model: Any = VAE(config, Encoder(), Decoder())
    else:
        model = AE(AEConfig(input_dim=shape, latent_dim=size), Encoder(), Decoder())

    def predict(x: np.ndarray) -> np.ndarray:
        model.eval()
        with torch.no_grad():
            y = outwards(model.encoder(torch.from_numpy(x)).embedding)
        model.train()
        return (torch.sigmoid(y) if vae else y).numpy()

    class Look(TrainingCallback):
        def on_epoch_end(self, training_config: Any, **kwargs: Any) -> None:
            watch(predict)

    with tempfile.TemporaryDirectory() as folder:
        settings = BaseTrainerConfig(
            output_dir=folder, num_epochs=case.epochs, per_device_train_batch_size=case.batch, learning_rate=RATE,
            no_cuda=True,
        )  # fmt: skip
        x = torch.from_numpy(case.train)
        BaseTrainer(model, BaseDataset(x, torch.zeros(len(x))), training_config=settings, callbacks=[Look()]).train()


def pyod(case: Case, watch: Watch) -> None:
    """PyOD's AutoEncoder, which has its activation on the code too."""
    import torch
    from pyod.models.auto_encoder import AutoEncoder

    class Model(AutoEncoder):
        def epoch_update(self) -> None:
            watch(torch_predict(case, self.model))

    torch.set_num_threads(1)
    Model(
        preprocessing=False, lr=RATE, epoch_num=case.epochs, batch_size=case.batch, verbose=0, device="cpu",
        optimizer_params={}, hidden_neuron_list=list(case.widths), hidden_activation_name=case.activation,
        batch_norm=False, dropout_rate=0.0,
    ).fit(case.train)  # fmt: skip


# --- others --------------------------------------------------------------------------------------------------


def sklearn(case: Case, watch: Watch) -> None:
    """scikit-learn's MLPRegressor, which has its activation on the code too."""
    from sklearn.neural_network import MLPRegressor

    model = MLPRegressor(
        hidden_layer_sizes=(*case.widths, *case.widths[-2::-1]), activation=case.activation, alpha=0.0, batch_size=case.batch,
        learning_rate_init=RATE,
    )  # fmt: skip
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
    model = keras.Sequential(net)
    model.compile(optimizer=keras.optimizers.Adam(RATE), loss="mse")

    class Look(keras.callbacks.Callback):
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            watch(predict)

    def predict(x: np.ndarray) -> np.ndarray:
        return np.asarray(model(x.reshape(len(x), *model.input_shape[1:]), training=False))

    x = case.train.reshape(len(case.train), *model.input_shape[1:])
    model.fit(x, x, batch_size=case.batch, epochs=case.epochs, shuffle=True, verbose=0, callbacks=[Look()])


def ours(case: Case, watch: Watch, **settings: Any) -> None:
    """The estimator's ``fit``, everything included: format, loop, history."""
    import torch

    import narrows
    from narrows import likelihoods, networks
    from narrows._types import Rows
    from narrows.training import Loop, Training

    torch.set_num_threads(1)

    class Watched(Loop):
        def _record(self) -> bool:
            stop = super()._record()
            watch(predict(self.module.model))
            return stop

    def predict(module: Any) -> Predict:
        def call(x: np.ndarray) -> np.ndarray:
            module.eval()
            with torch.no_grad():
                y = module.decode(module.encode(Rows(torch.from_numpy(x)))).mean
            module.train()
            return y.numpy()

        return call

    narrows.estimators._base.Loop = Watched  # type: ignore[attr-defined]
    network = networks.Dense(case.widths[:-1], activation=case.activation)
    if case.images:
        network = networks.Conv((16, 32, 64), activation="relu")  # type: ignore[assignment]
    training = Training(epochs=case.epochs, batch_size=case.batch, validation=0.0, **settings)
    kind = narrows.VariationalAutoencoder if case.name == "vae" else narrows.Autoencoder
    likelihood = likelihoods.Bernoulli() if case.name == "vae" else likelihoods.Gaussian(scale=1.0)
    kind(case.widths[-1], network=network, likelihood=likelihood, training=training, random_state=0).fit(raw(case))


def raw(case: Case) -> np.ndarray:
    """The training rows as a user of narrows would hand them in: images in bytes."""
    if case.images:
        return np.round(case.train[:, 0] * 255).astype(np.uint8)
    return case.train


def narrows_same(case: Case, watch: Watch) -> None:
    """narrows with the optimiser settings of all others."""
    ours(case, watch, learning_rate=RATE, schedule="constant")


def narrows_own(case: Case, watch: Watch) -> None:
    """narrows with its own learning rate and schedule."""
    ours(case, watch)


CONTENDERS: dict[str, Callable[[Case, Watch], None]] = {
    "narrows": narrows_same,
    "narrows, own schedule": narrows_own,
    "PyTorch, DataLoader": tutorial,
    "PyTorch, by index": indexed,
    "pythae": pythae,
    "PyOD": pyod,
    "skorch": skorch,
    "Lightning": lightning,
    "scikit-learn": sklearn,
    "Keras, JAX": keras,
}


def main() -> None:
    """Run trials as they are asked for."""
    contender, name, path, clock = sys.argv[1:]
    case = Case(name, path)
    tick = time.process_time if clock == "cpu" else time.perf_counter
    for _ in sys.stdin:
        watch = Watch(case.validation, case.epochs, tick)
        try:
            CONTENDERS[contender](case, watch)
        except Finished:
            pass
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(json.dumps({"seen": watch.seen, "memory": memory}), flush=True)


if __name__ == "__main__":
    main()
