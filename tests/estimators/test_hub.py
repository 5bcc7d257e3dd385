"""Pretrained pipelines: the loading code, on a tiny pipeline made on the spot. Nothing is fetched."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest
import torch

from narrows._hub import local_only
from narrows.errors import InvalidData, InvalidParameter, MissingExtra
from narrows.estimators import PretrainedLanguageModel, TextToImage


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    diffusers = pytest.importorskip("diffusers")
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    place = tmp_path_factory.mktemp("pipeline")
    letters = [*"abcdefghijklmnopqrstuvwxyz"]
    words = [*letters, *(f"{c}</w>" for c in letters), "<|startoftext|>", "<|endoftext|>"]
    (place / "vocab.json").write_text(json.dumps({w: i for i, w in enumerate(words)}))
    (place / "merges.txt").write_text("#version: 0.2\n")
    tokenizer = transformers.CLIPTokenizer(str(place / "vocab.json"), str(place / "merges.txt"), model_max_length=16)
    text = transformers.CLIPTextModel(
        transformers.CLIPTextConfig(
            vocab_size=len(words), hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2,
            max_position_embeddings=16, bos_token_id=len(words) - 2, eos_token_id=len(words) - 1,
        )
    )  # fmt: skip
    unet = diffusers.UNet2DConditionModel(
        sample_size=8, block_out_channels=(8, 16), layers_per_block=1, norm_num_groups=4, cross_attention_dim=16,
        attention_head_dim=4, down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
    )  # fmt: skip
    vae = diffusers.AutoencoderKL(
        block_out_channels=(8, 8), norm_num_groups=4, latent_channels=4, sample_size=16,
        down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2,
    )  # fmt: skip
    scheduler = diffusers.DDIMScheduler(clip_sample=False, set_alpha_to_one=False)
    pipeline = diffusers.StableDiffusionPipeline(
        vae=vae, text_encoder=text, tokenizer=tokenizer, unet=unet, scheduler=scheduler,
        safety_checker=None, feature_extractor=None, requires_safety_checker=False,
    )  # fmt: skip
    pipeline.save_pretrained(place / "saved", safe_serialization=True)
    return place / "saved"


def test_a_pipeline_is_read_and_makes_images(folder):
    model = TextToImage.from_pretrained(folder, device="cpu")
    before = torch.get_rng_state()
    made = model.sample("a red square", n=2, steps=2, random_state=0)
    assert made.shape == (2, 16, 16, 3)
    assert made.dtype == np.uint8
    assert not np.array_equal(made[0], made[1])
    np.testing.assert_array_equal(made, model.sample("a red square", n=2, steps=2, random_state=0))
    assert not np.array_equal(made, model.sample("a blue ball", n=2, steps=2, random_state=0))
    assert model.sample(["a", "b", "c"], steps=1, random_state=0).shape == (3, 16, 16, 3)
    assert torch.equal(before, torch.get_rng_state())


def test_a_hub_that_does_not_answer_is_asked_once_and_the_model_looked_for_here(monkeypatch):
    diffusers, transformers = pytest.importorskip("diffusers"), pytest.importorskip("transformers")
    hub = pytest.importorskip("huggingface_hub")
    asked, local = [], []

    def silent(self, name, **options):
        asked.append((name, options["timeout"]))
        raise ConnectionError("no route")

    def read(name, **options):
        local.append(options["local_files_only"])
        raise OSError("not here")

    monkeypatch.setattr(hub.HfApi, "model_info", silent)
    monkeypatch.setattr(diffusers.AutoPipelineForText2Image, "from_pretrained", read)
    monkeypatch.setattr(transformers.AutoTokenizer, "from_pretrained", read)
    with pytest.raises(InvalidData, match="no text-to-image pipeline"):
        TextToImage.from_pretrained("nobody/nothing", device="cpu")
    with pytest.raises(InvalidData, match="no language model"):
        PretrainedLanguageModel.from_pretrained("nobody/nothing", device="cpu")
    assert asked == [("nobody/nothing", 5.0)] * 2
    assert local == [True, True]
    assert not local_only(".")


def test_bad_input_is_told_in_words(folder, tmp_path, monkeypatch):
    model = TextToImage.from_pretrained(folder, device="cpu")
    with pytest.raises(InvalidParameter, match="text"):
        model.sample(3)
    with pytest.raises(InvalidParameter, match="n=0"):
        model.sample("a", n=0)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InvalidData, match="no text-to-image pipeline"):
        TextToImage.from_pretrained(tmp_path / "empty")
    monkeypatch.setitem(sys.modules, "diffusers", None)
    with pytest.raises(MissingExtra, match=r"narrows\[hub\]"):
        TextToImage.from_pretrained(folder)
