"""narrows: learn from unlabelled data and put what was learnt to work.

Estimators and verbs are found here and imported on first use; parts live in their rooms
(`narrows.likelihoods.Gaussian`, `narrows.corruptions.Gaussian`).
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from narrows._version import __version__

if TYPE_CHECKING:
    from narrows.estimators import (
        GAN,
        AdversarialAutoencoder,
        AnomalyDetector,
        Autoencoder,
        AutoregressiveModel,
        Boltzmann,
        ContractiveAutoencoder,
        Corrector,
        DenoisingAutoencoder,
        Diffusion,
        Ensemble,
        Flow,
        GroupedAutoencoder,
        Imputer,
        LanguageModel,
        LatentDiffusion,
        MomentMatching,
        PretrainedLanguageModel,
        QuantisedAutoencoder,
        QuestionAnswerer,
        SequenceToSequence,
        SparseAutoencoder,
        Synthesizer,
        TextToImage,
        Translator,
        VariationalAutoencoder,
        WassersteinAutoencoder,
        load,
    )
    from narrows.training import Training

_HOMES = {
    "AdversarialAutoencoder": "estimators",
    "AnomalyDetector": "estimators",
    "Autoencoder": "estimators",
    "AutoregressiveModel": "estimators",
    "Boltzmann": "estimators",
    "ContractiveAutoencoder": "estimators",
    "Corrector": "estimators",
    "DenoisingAutoencoder": "estimators",
    "Diffusion": "estimators",
    "Ensemble": "estimators",
    "Flow": "estimators",
    "GAN": "estimators",
    "GroupedAutoencoder": "estimators",
    "Imputer": "estimators",
    "LanguageModel": "estimators",
    "LatentDiffusion": "estimators",
    "load": "estimators",
    "MomentMatching": "estimators",
    "PretrainedLanguageModel": "estimators",
    "QuantisedAutoencoder": "estimators",
    "QuestionAnswerer": "estimators",
    "SequenceToSequence": "estimators",
    "SparseAutoencoder": "estimators",
    "Synthesizer": "estimators",
    "TextToImage": "estimators",
    "Training": "training",
    "Translator": "estimators",
    "VariationalAutoencoder": "estimators",
    "WassersteinAutoencoder": "estimators",
}

_ROOMS = (
    "adversarial",
    "bottlenecks",
    "corruptions",
    "data",
    "diffusion",
    "errors",
    "estimators",
    "evaluate",
    "language",
    "likelihoods",
    "networks",
    "objectives",
    "penalties",
    "plots",
    "priors",
    "tasks",
    "training",
)

__all__ = [
    "GAN",
    "AdversarialAutoencoder",
    "AnomalyDetector",
    "Autoencoder",
    "AutoregressiveModel",
    "Boltzmann",
    "ContractiveAutoencoder",
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
    "PretrainedLanguageModel",
    "QuantisedAutoencoder",
    "QuestionAnswerer",
    "SequenceToSequence",
    "SparseAutoencoder",
    "Synthesizer",
    "TextToImage",
    "Training",
    "Translator",
    "VariationalAutoencoder",
    "WassersteinAutoencoder",
    "__version__",
    "load",
]


def __getattr__(name: str) -> Any:
    # imported on first use: torch and scikit-learn take seconds to import
    if name in _HOMES:
        value = getattr(importlib.import_module(f"narrows.{_HOMES[name]}"), name)
    elif name in _ROOMS:
        value = importlib.import_module(f"narrows.{name}")
    else:
        raise AttributeError(f"module 'narrows' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *_ROOMS})
