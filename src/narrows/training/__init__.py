"""Training: one loop for every model, its settings, its history and its checkpoints."""

from narrows.training.history import History
from narrows.training.loop import Loop, Player
from narrows.training.settings import Training
from narrows.training.step import Step

__all__ = ["History", "Loop", "Player", "Step", "Training"]
