"""Contenders of the speed benchmark that are built on PyTorch."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
from speed_case import RATE, Case, Predict, Watch, places


def torch_parts(case: Case) -> tuple[Any, Any]:
    """Encoder (twice as wide at the end for a VAE) and decoder as torch modules."""
    import torch
    from torch import nn

    torch.set_num_threads(1)
    if case.images:
        return conv_parts(case)
    if case.name == "lstm":
        return recurrent_parts(case)
    act = nn.Tanh if case.activation == "tanh" else nn.ReLU
    d, widths = case.train.shape[1], case.widths

    def stack(sizes: list[int]) -> Any:
        layers: list[Any] = []
        for a, b in itertools.pairwise(sizes):
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


def recurrent_parts(case: Case) -> tuple[Any, Any]:
    """An LSTM that reads a series to its end, and one that writes it from the code, as narrows builds them."""
    import torch
    from torch import nn

    (hidden, size), steps = case.widths, case.train.shape[1]
    told = torch.from_numpy(places(steps))

    class Encoder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm, self.head = nn.LSTM(1, hidden, batch_first=True), nn.Linear(hidden, size)

        def forward(self, x: Any) -> Any:
            return self.head(self.lstm(x.unsqueeze(-1))[0][:, -1])

    class Decoder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.start, self.head = nn.Linear(size, 2 * hidden), nn.Linear(hidden, 1)
            self.lstm = nn.LSTM(size + told.shape[1], hidden, batch_first=True)

        def forward(self, z: Any) -> Any:
            state = torch.tanh(self.start(z)).unsqueeze(0).chunk(2, -1)
            given = torch.cat([z.unsqueeze(1).expand(-1, steps, -1), told.expand(len(z), -1, -1)], -1)
            return self.head(self.lstm(given, tuple(s.contiguous() for s in state))[0]).squeeze(-1)

    return Encoder(), Decoder()


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
    """The NeuralNet of skorch."""
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
    """The AE and VAE of pythae under its BaseTrainer."""
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
