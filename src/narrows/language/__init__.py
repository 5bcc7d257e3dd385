"""What language models do with the probabilities of the next token: choose, search, stream."""

from narrows.language.strategies import Beam, Greedy, NextToken, Sample, Strategy, probabilities

__all__ = ["Beam", "Greedy", "NextToken", "Sample", "Strategy", "probabilities"]
