"""Estimators: numpy, DataFrames and images in and out; scikit-learn's contract."""

from narrows.estimators._base import BaseModel, NotFitted
from narrows.estimators._codes import BaseAutoencoder
from narrows.estimators._files import load
from narrows.estimators.autoencoder import (
    Autoencoder,
    ContractiveAutoencoder,
    DenoisingAutoencoder,
    SparseAutoencoder,
    VariationalAutoencoder,
)
from narrows.estimators.autoregressive import AutoregressiveModel
from narrows.estimators.boltzmann import Boltzmann
from narrows.estimators.corrector import Change, Correction, Corrector
from narrows.estimators.detector import AnomalyDetector
from narrows.estimators.diffusion import Diffusion, LatentDiffusion
from narrows.estimators.ensemble import Ensemble
from narrows.estimators.flow import Flow
from narrows.estimators.gan import GAN, MomentMatching
from narrows.estimators.grouped import GroupedAutoencoder
from narrows.estimators.hub import TextToImage
from narrows.estimators.imputer import Imputer
from narrows.estimators.language import LanguageModel
from narrows.estimators.matching import AdversarialAutoencoder, WassersteinAutoencoder
from narrows.estimators.preference import drift, prefer
from narrows.estimators.pretrained import Answer, PretrainedLanguageModel, QuestionAnswerer
from narrows.estimators.quantised import QuantisedAutoencoder
from narrows.estimators.sequence import SequenceToSequence
from narrows.estimators.synthesizer import Synthesizer
from narrows.estimators.translator import Translator

__all__ = [
    "GAN",
    "AdversarialAutoencoder",
    "AnomalyDetector",
    "Answer",
    "Autoencoder",
    "AutoregressiveModel",
    "BaseAutoencoder",
    "BaseModel",
    "Boltzmann",
    "Change",
    "ContractiveAutoencoder",
    "Correction",
    "Corrector",
    "DenoisingAutoencoder",
    "Diffusion",
    "Ensemble",
    "Flow",
    "GroupedAutoencoder",
    "Imputer",
    "LanguageModel",
    "LatentDiffusion",
    "MomentMatching",
    "NotFitted",
    "PretrainedLanguageModel",
    "QuantisedAutoencoder",
    "QuestionAnswerer",
    "SequenceToSequence",
    "SparseAutoencoder",
    "Synthesizer",
    "TextToImage",
    "Translator",
    "VariationalAutoencoder",
    "WassersteinAutoencoder",
    "drift",
    "load",
    "prefer",
]
