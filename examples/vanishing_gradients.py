"""How far back does a recurrent network learn? The last output's gradient by the input of every step, before training.

python examples/vanishing_gradients.py
python examples/vanishing_gradients.py --out gradients.png

Through a network without gates the gradient shrinks by a factor at every step, so that what happened a hundred steps
ago cannot be learnt. An LSTM whose forget gates begin nearly open (bias ln T for T steps) hands it on; with the usual
bias of 1 it shrinks too, more slowly. Long Short-Term Memory, Hochreiter, Schmidhuber, 1997.
"""

import argparse
import math

import numpy as np
import torch

from narrows.networks import Recurrent

STEPS, FEATURES, HIDDEN, SERIES = 100, 8, 64, 64


def measure(network: Recurrent, seed: int = 0) -> np.ndarray:
    """Mean size of the derivative of the last output by each step's input, ``(steps,)``, for random series."""
    torch.manual_seed(seed)
    module = network.causal(FEATURES, 1)
    x = torch.randn(SERIES, STEPS, FEATURES, requires_grad=True)
    (slope,) = torch.autograd.grad(module(x)[0][:, -1].sum(), x)
    return slope.norm(dim=-1).mean(0).numpy()


def networks() -> dict[str, Recurrent]:
    """What is compared, by name."""
    open_ = math.log(STEPS)
    return {
        "RNN, no gates": Recurrent("rnn", HIDDEN),
        "LSTM, forget bias 1": Recurrent("lstm", HIDDEN),
        f"LSTM, forget bias ln {STEPS}": Recurrent("lstm", HIDDEN, forget=open_),
        f"peephole LSTM, forget bias ln {STEPS}": Recurrent("peephole", HIDDEN, forget=open_),
        f"GRU, update bias ln {STEPS}": Recurrent("gru", HIDDEN, forget=open_),
    }


def draw(found: dict[str, np.ndarray], path: str) -> None:
    """One line per network, on a logarithmic scale, over how many steps ago the input was."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.6, 3.9), dpi=120, layout="constrained", facecolor="white")
    axes = figure.subplots()
    ago = np.arange(STEPS)[::-1]
    for (name, sizes), colour in zip(found.items(), ("#D55E00", "#E69F00", "#0072B2", "#56B4E9", "#009E73")):
        axes.plot(ago, sizes, color=colour, linewidth=1.8, label=name)
    axes.set_yscale("log")
    axes.invert_xaxis()
    axes.set_xlabel("steps ago", fontsize=9)
    axes.set_ylabel("size of the gradient", fontsize=9)
    axes.set_title("What the last output has to say to each input", loc="left", fontsize=11)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="#D9DCE1", linewidth=0.6)
    axes.legend(fontsize=9, frameon=False)
    figure.savefig(path)


def main() -> None:
    """Measure, print, and draw if asked to."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", help="file for the figure, such as gradients.png")
    asked = parser.parse_args()
    found = {name: measure(network) for name, network in networks().items()}
    for name, sizes in found.items():
        print(f"{name}: {STEPS} steps ago {sizes[0]:.1e}, last step {sizes[-1]:.1e}, ratio {sizes[0] / sizes[-1]:.1e}")
    if asked.out:
        draw(found, asked.out)


if __name__ == "__main__":
    main()
