"""Recurrent cells: one layer of each, run over whole series, by torch's own kernels where they can do it."""

from __future__ import annotations

import math
from typing import Any, Literal

import torch
from torch import Tensor, nn

State = tuple[Tensor, ...]
Cell = Literal["rnn", "lstm", "gru", "peephole", "coupled"]


class LayerModule(nn.Module):
    """One recurrent layer: ``(B, T, features), state -> (B, T, hidden), state``.

    Args:
        features: Numbers per step that come in.
        hidden: Numbers per step that go out.

    Attributes:
        states: How many tensors ``(B, hidden)`` the state has: 1, or 2 where there is a memory cell beside the output.
    """

    states = 2

    def __init__(self, features: int, hidden: int) -> None:
        super().__init__()
        self.features, self.hidden = features, hidden

    def begin(self, x: Tensor) -> State:
        """The state before the first step: zeros."""
        return (x.new_zeros(x.shape[0], self.hidden),) * self.states


class NativeModule(LayerModule):
    r"""A layer that torch has a kernel for.

    With $\sigma$ the logistic function, $\odot$ the elementwise product and a step's input $x_t$:

    - "rnn": $h_t = \tanh(W x_t + U h_{t-1} + b)$.
    - "lstm": $i_t, f_t, o_t = \sigma(W_\cdot x_t + U_\cdot h_{t-1} + b_\cdot)$,
      $g_t = \tanh(W_g x_t + U_g h_{t-1} + b_g)$, $c_t = f_t \odot c_{t-1} + i_t \odot g_t$,
      $h_t = o_t \odot \tanh(c_t)$.
    - "gru": $r_t, z_t = \sigma(W_\cdot x_t + U_\cdot h_{t-1} + b_\cdot)$,
      $n_t = \tanh(W_n x_t + b_n + r_t \odot (U_n h_{t-1} + b'_n))$, $h_t = (1 - z_t) \odot n_t + z_t \odot h_{t-1}$.

    Args:
        features: Numbers per step that come in.
        hidden: Numbers per step that go out.
        cell: Which of the three.
        forget: Bias of the forget gates at the start, of the update gates of a GRU.

    Reference:
        Long Short-Term Memory, Hochreiter, Schmidhuber, 1997, https://doi.org/10.1162/neco.1997.9.8.1735;
        Learning to Forget, Gers, Schmidhuber, Cummins, 2000, https://doi.org/10.1162/089976600300015015;
        Learning Phrase Representations using RNN Encoder–Decoder, Cho et al., 2014, https://arxiv.org/abs/1406.1078.
    """

    def __init__(self, features: int, hidden: int, cell: Literal["rnn", "lstm", "gru"], forget: float) -> None:
        super().__init__(features, hidden)
        kinds: dict[str, Any] = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}
        self.rnn: nn.RNNBase = kinds[cell](features, hidden, batch_first=True)
        self.states = 2 if cell == "lstm" else 1
        weight_ih, weight_hh, bias_ih, bias_hh = self.rnn.parameters()
        _initialise(weight_ih, weight_hh)
        nn.init.zeros_(bias_ih)
        nn.init.zeros_(bias_hh)
        if cell != "rnn":  # the second gate is the one that keeps, in torch's LSTM and GRU alike
            nn.init.constant_(bias_ih[hidden : 2 * hidden], forget)

    def forward(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """The outputs of all steps, and the state after the last."""
        before = [s.unsqueeze(0) for s in state]
        out, after = self.rnn(x, tuple(before) if self.states == 2 else before[0])
        return out, tuple(s.squeeze(0) for s in (after if self.states == 2 else (after,)))


class CoupledModule(LayerModule):
    r"""An LSTM that forgets exactly as much as it takes in: $i_t = 1 - f_t$.

    $f_t, o_t = \sigma(W_\cdot x_t + U_\cdot h_{t-1} + b_\cdot)$, $g_t = \tanh(W_g x_t + U_g h_{t-1} + b_g)$,
    $c_t = f_t \odot c_{t-1} + (1 - f_t) \odot g_t$, $h_t = o_t \odot \tanh(c_t)$.

    Since $1 - \sigma(a) = \sigma(-a)$, it is the LSTM whose input gate has the forget gate's weights with the opposite
    sign, and torch's kernel runs it.

    Args:
        features: Numbers per step that come in.
        hidden: Numbers per step that go out.
        forget: Bias of the forget gate at the start.

    Reference:
        LSTM: A Search Space Odyssey, Greff, Srivastava, Koutník, Steunebrink, Schmidhuber, 2015,
        https://arxiv.org/abs/1503.04069.
    """

    def __init__(self, features: int, hidden: int, forget: float) -> None:
        super().__init__(features, hidden)
        self.weight_ih = nn.Parameter(torch.empty(3 * hidden, features))  # forget gate, candidate, output gate
        self.weight_hh = nn.Parameter(torch.empty(3 * hidden, hidden))
        self.bias = nn.Parameter(torch.zeros(3 * hidden))
        _initialise(self.weight_ih, self.weight_hh)
        nn.init.constant_(self.bias[:hidden], forget)

    def forward(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """The outputs of all steps, and the state after the last."""
        weights = [torch.cat([-w[: self.hidden], w]) for w in (self.weight_ih, self.weight_hh, self.bias)]
        weights.append(torch.zeros_like(weights[-1]))  # torch's kernel wants a second bias
        before = [s.unsqueeze(0) for s in state]
        out, h, c = torch.lstm(x, before, weights, True, 1, 0.0, self.training, False, True)
        return out, (h.squeeze(0), c.squeeze(0))


class PeepholeModule(LayerModule):
    r"""An LSTM whose gates look at the memory cell itself.

    $i_t = \sigma(W_i x_t + U_i h_{t-1} + p_i \odot c_{t-1} + b_i)$,
    $f_t = \sigma(W_f x_t + U_f h_{t-1} + p_f \odot c_{t-1} + b_f)$,
    $g_t = \tanh(W_g x_t + U_g h_{t-1} + b_g)$, $c_t = f_t \odot c_{t-1} + i_t \odot g_t$,
    $o_t = \sigma(W_o x_t + U_o h_{t-1} + p_o \odot c_t + b_o)$, $h_t = o_t \odot \tanh(c_t)$.

    Args:
        features: Numbers per step that come in.
        hidden: Numbers per step that go out.
        forget: Bias of the forget gate at the start.

    Reference:
        Recurrent Nets that Time and Count, Gers, Schmidhuber, 2000, https://doi.org/10.1109/IJCNN.2000.861302.
    """

    def __init__(self, features: int, hidden: int, forget: float) -> None:
        super().__init__(features, hidden)
        self.weight_ih = nn.Parameter(torch.empty(4 * hidden, features))  # in torch's order: i, f, g, o
        self.weight_hh = nn.Parameter(torch.empty(4 * hidden, hidden))
        self.bias = nn.Parameter(torch.zeros(4 * hidden))
        self.peephole = nn.Parameter(torch.zeros(3, hidden))  # i, f, o
        _initialise(self.weight_ih, self.weight_hh)
        nn.init.constant_(self.bias[hidden : 2 * hidden], forget)

    def forward(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """The outputs of all steps, and the state after the last."""
        drive = nn.functional.linear(x.transpose(0, 1), self.weight_ih, self.bias)
        if torch._C._are_functorch_transforms_active():  # the scan has no rule for derivatives of derivatives
            return self._plainly(drive, *state)
        out, c, *_ = _scan(drive.contiguous(), self.weight_hh, self.peephole, *state)
        return out.transpose(0, 1), (out[-1], c)

    def _plainly(self, drive: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, State]:
        """The same, operation by operation."""
        out, (to_i, to_f, to_o) = [], self.peephole.unbind()
        for driven in drive.unbind():
            i, f, g, o = (driven + h @ self.weight_hh.t()).chunk(4, -1)
            c = torch.sigmoid(f + to_f * c) * c + torch.sigmoid(i + to_i * c) * torch.tanh(g)
            h = torch.sigmoid(o + to_o * c) * torch.tanh(c)
            out.append(h)
        return torch.stack(out, 1), (h, c)


@torch.library.custom_op("narrows::peephole", mutates_args=())
def _scan(
    drive: Tensor, weight: Tensor, peephole: Tensor, h: Tensor, c: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """All steps of a layer with peepholes, without autograd's bookkeeping, which would cost more than the arithmetic.

    Args:
        drive: ``(T, B, 4 H)`` what the gates get from the inputs.
        weight: ``(4 H, H)`` U.
        peephole: ``(3, H)`` p.
        h: ``(B, H)`` output before the first step.
        c: ``(B, H)`` memory before the first step.

    Returns:
        Outputs ``(T, B, H)``, the last memory ``(B, H)``, and for the derivative the gates ``(T, B, 4 H)``, all
        memories ``(T + 1, B, H)`` and their tanh ``(T, B, H)``.
    """
    steps, batch, size = len(drive), h.shape[0], h.shape[1]
    gates = torch.empty_like(drive)
    out, bent, memory = (drive.new_empty(n, batch, size) for n in (steps, steps, steps + 1))
    memory[0] = c
    turned, (to_i, to_f, to_o) = weight.t(), peephole.unbind()
    views = zip(gates.unbind(), gates[..., : 2 * size].unbind(), *(g.unbind() for g in gates.chunk(4, -1)))
    rows = zip(drive.unbind(), out.unbind(), bent.unbind(), memory[:-1].unbind(), memory[1:].unbind())
    for (gate, both, i, f, g, o), (driven, output, squashed, last, now) in zip(views, rows):
        torch.addmm(driven, h, turned, out=gate)
        i.addcmul_(last, to_i)
        f.addcmul_(last, to_f)
        both.sigmoid_()
        g.tanh_()
        torch.mul(f, last, out=now).addcmul_(i, g)
        o.addcmul_(now, to_o).sigmoid_()
        torch.tanh(now, out=squashed)
        h = torch.mul(o, squashed, out=output)
    return out, memory[-1].clone(), gates, memory, bent


@torch.library.custom_op("narrows::peephole_backward", mutates_args=())
def _scan_backward(
    d_out: Tensor, d_last: Tensor, weight: Tensor, peephole: Tensor, gates: Tensor, memory: Tensor, bent: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """What the loss says of the gates' arguments ``(T, B, 4 H)``, and of h and c before the first step.

    Args:
        d_out: ``(T, B, H)`` derivative by the outputs.
        d_last: ``(B, H)`` derivative by the last memory.
        weight: ``(4 H, H)`` U.
        peephole: ``(3, H)`` p.
        gates: From `_scan`, as are the others.
        memory: ``(T + 1, B, H)``.
        bent: ``(T, B, H)``.
    """
    d_gates = torch.empty_like(gates)
    to_i, to_f, to_o = peephole.unbind()
    through, by_tanh = torch.ops.aten.sigmoid_backward, torch.ops.aten.tanh_backward
    d_c, d_h = d_last.clone(), torch.zeros_like(d_last)
    values = zip(d_out.unbind(), *(g.unbind() for g in gates.chunk(4, -1)), memory[:-1].unbind(), bent.unbind())
    places = zip(d_gates.unbind(), *(g.unbind() for g in d_gates.chunk(4, -1)))
    for (d, i, f, g, o, last, squashed), (gate, d_i, d_f, d_g, d_o) in reversed(list(zip(values, places))):
        d_h = d_h + d
        d_o.copy_(through(d_h * squashed, o))
        d_c.add_(by_tanh(d_h * o, squashed)).addcmul_(d_o, to_o)
        d_i.copy_(through(d_c * g, i))
        d_f.copy_(through(d_c * last, f))
        d_g.copy_(by_tanh(d_c * i, g))
        d_c.mul_(f).addcmul_(d_i, to_i).addcmul_(d_f, to_f)
        d_h = gate @ weight
    return d_gates, d_h, d_c


def _keep(ctx: torch.autograd.function.FunctionCtx, inputs: tuple[Tensor, ...], output: tuple[Tensor, ...]) -> None:
    _, weight, peephole, h, _ = inputs
    out, _, gates, memory, bent = output
    ctx.save_for_backward(weight, peephole, h, out, gates, memory, bent)
    ctx.mark_non_differentiable(gates, memory, bent)
    ctx.set_materialize_grads(True)


def _derive(ctx: torch.autograd.function.FunctionCtx, d_out: Tensor, d_last: Tensor, *_: Tensor) -> State:
    weight, peephole, h, out, gates, memory, bent = ctx.saved_tensors  # type: ignore[attr-defined]
    d_gates, d_h, d_c = _scan_backward(d_out.contiguous(), d_last, weight, peephole, gates, memory, bent)
    before = torch.cat([h.unsqueeze(0), out[:-1]])
    d_weight = d_gates.flatten(0, 1).t() @ before.flatten(0, 1)
    d_i, d_f, _, d_o = d_gates.chunk(4, -1)
    seen = ((d_i, memory[:-1]), (d_f, memory[:-1]), (d_o, memory[1:]))
    d_peephole = torch.stack([(d * c).sum((0, 1)) for d, c in seen])
    return d_gates, d_weight, d_peephole, d_h, d_c


torch.library.register_autograd("narrows::peephole", _derive, setup_context=_keep)


def layer(cell: Cell, features: int, hidden: int, forget: float) -> LayerModule:
    """One layer of a cell, freshly initialised."""
    if cell == "peephole":
        return PeepholeModule(features, hidden, forget)
    if cell == "coupled":
        return CoupledModule(features, hidden, forget)
    return NativeModule(features, hidden, cell, forget)


@torch.no_grad()
def _initialise(weight_ih: Tensor, weight_hh: Tensor) -> None:
    """Gate by gate: Xavier for inputs, orthogonal for the state, so that it neither grows nor dies at the start."""
    hidden = weight_hh.shape[1]
    for gate in range(len(weight_hh) // hidden):
        own = slice(gate * hidden, (gate + 1) * hidden)
        bound = math.sqrt(6 / (weight_ih.shape[1] + hidden))
        weight_ih[own].uniform_(-bound, bound)
        nn.init.orthogonal_(weight_hh[own])
