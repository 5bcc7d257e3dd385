"""Pretrained text-to-image models of the diffusers library."""

from __future__ import annotations

import os
from collections.abc import Sequence
from numbers import Integral
from typing import Any, Self

import numpy as np
import torch

from narrows._hub import local_only
from narrows.errors import InvalidData, InvalidParameter, MissingExtra
from narrows.estimators._shared import draw_seed


class TextToImage:
    """Images of a description, by a pretrained pipeline.

    Weights are read from safetensors only, and no code that comes with a model is run.

    Args:
        pipeline: A text-to-image pipeline of ``diffusers``.

    Example:
        ```text
        model = TextToImage.from_pretrained("owner/name-of-a-model")
        model.sample("a small red square at the top left", n=4, random_state=0)
        ```

    Reference:
        High-Resolution Image Synthesis with Latent Diffusion Models, Rombach and others, 2022,
        https://arxiv.org/abs/2112.10752
    """

    def __init__(self, pipeline: Any) -> None:
        self.pipeline = pipeline

    @classmethod
    def from_pretrained(
        cls, name: str | os.PathLike[str], *, device: str = "auto", revision: str | None = None
    ) -> Self:
        """Read a pipeline from a folder, or fetch it from the hub.

        Args:
            name: The folder, or the name on the hub.
            device: Where to compute; ``"auto"``: a GPU when there is one.
            revision: Which version of it, for runs that can be repeated.

        Raises:
            MissingExtra: Without ``pip install narrows[hub]``.
            InvalidData: If there is no such pipeline, or it has no safetensors.
        """
        try:
            from diffusers import AutoPipelineForText2Image
        except ImportError as error:
            raise MissingExtra("pretrained text-to-image models need diffusers: pip install narrows[hub]") from error
        try:
            pipelines: Any = AutoPipelineForText2Image
            found = pipelines.from_pretrained(
                os.fspath(name),
                revision=revision,
                use_safetensors=True,
                trust_remote_code=False,
                local_files_only=local_only(os.fspath(name), revision),
            )
        except (OSError, ValueError, KeyError) as error:
            raise InvalidData(
                f"{os.fspath(name)!r} holds no text-to-image pipeline of safetensors that diffusers can read: {error}"
            ) from error
        found.set_progress_bar_config(disable=True)
        place = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
        return cls(found.to(place))

    def sample(
        self,
        prompt: str | Sequence[str],
        n: int = 1,
        *,
        steps: int = 30,
        guidance: float = 7.5,
        size: tuple[int, int] | None = None,
        random_state: Any = None,
    ) -> np.ndarray:
        """Images of descriptions.

        Args:
            prompt: What is to be seen; or several, each of n images.
            n: How many images of each.
            steps: Steps of the pipeline's own sampler.
            guidance: How often the description counts.
            size: Height and width in pixels; None: the model's own.
            random_state: Whole number for equal images at every call.

        Returns:
            ``(prompts · n, H, W, 3)`` whole numbers from 0 to 255.

        Raises:
            InvalidParameter: If a prompt is no text, or n or steps are below 1.
        """
        prompts = list(prompt) if isinstance(prompt, (list, tuple)) else [prompt]
        if not prompts or not all(isinstance(p, str) for p in prompts):
            raise InvalidParameter(f"sample({prompt!r}): give text that says what is to be seen, or a list of such")
        for name, value in (("n", n), ("steps", steps)):
            if not isinstance(value, Integral) or isinstance(value, bool) or value < 1:
                raise InvalidParameter(f"sample({name}={value!r}): {name} must be a whole number of at least 1")
        generator = torch.Generator().manual_seed(draw_seed(random_state))  # on the CPU: equal on every device
        made = self.pipeline(
            prompts,
            num_images_per_prompt=int(n),
            num_inference_steps=int(steps),
            guidance_scale=float(guidance),
            generator=generator,
            output_type="np",
            **({} if size is None else {"height": int(size[0]), "width": int(size[1])}),
        )
        return np.asarray((np.asarray(made.images) * 255).round(), dtype=np.uint8)
