"""What language models do with the probabilities of words: choose, search, stream, mend."""

from narrows.language.channel import Channel
from narrows.language.ngrams import Ngrams
from narrows.language.strategies import Beam, Greedy, NextToken, Sample, Strategy, probabilities

__all__ = ["Beam", "Channel", "Greedy", "NextToken", "Ngrams", "Sample", "Strategy", "probabilities"]
