from __future__ import annotations

import json
import os
import time
from threading import Event, Thread

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from extractors.assets.registry import AssetError, asset
from extractors.language import text_encoder, word_features
from extractors.language.text_encoder import HIDDEN, SCHEMA
from extractors.language.transcript import Transcript
from extractors.language.word_features import MARGIN, WINDOW, encode_words, from_words
from extractors.messages import Message
from extractors.pipeline import extract
from extractors.schema import Word
from tests.extractors.support.clips import make_clip, tone


def timed(*texts):
    return [Word(text=word, start=float(index), end=index + 1.0) for index, word in enumerate(texts)]


def test_states_are_the_models_own():
    from transformers import AutoModel, AutoTokenizer

    words = ["I", "really", "disliked", "unputdownable", "films!"]
    tokenizer = AutoTokenizer.from_pretrained(asset("minilm"), local_files_only=True)
    model = AutoModel.from_pretrained(asset("minilm"), local_files_only=True).eval()
    encoding = tokenizer(words, is_split_into_words=True, return_tensors="pt")
    with torch.inference_mode():
        hidden = model(**encoding).last_hidden_state[0].numpy()
    owners = np.array([-1 if owner is None else owner for owner in encoding.word_ids()])
    assert (owners == 3).sum() > 1 and (owners == 4).sum() == 2  # words of several tokens
    expected = np.stack([hidden[owners == index].mean(axis=0) for index in range(len(words))])
    assert np.allclose(encode_words([words])[0], expected, atol=1e-5)


def test_a_batch_is_the_same_as_one_by_one():
    rng = np.random.default_rng(0)
    sentences = [["word"] * int(count) + ["end", "wonderful"] for count in rng.integers(0, 40, 50)]
    together = encode_words(sentences)
    assert [len(values) for values in together] == [len(sentence) for sentence in sentences]
    for sentence, values in zip(sentences, together, strict=True):
        assert np.allclose(values, encode_words([sentence])[0], atol=1e-4)


def test_batches_stay_small(monkeypatch):
    sizes = []
    hidden = word_features._hidden

    def counted(ids, model):
        sizes.append(len(ids) * (max(map(len, ids)) + 2))
        return hidden(ids, model)

    monkeypatch.setattr(word_features, "_hidden", counted)
    encode_words([["word"] * (index % 60 + 1) for index in range(300)])
    assert len(sizes) > 1 and max(sizes) <= word_features.BATCH_TOKENS


def test_nothing_to_encode():
    assert encode_words([]) == []
    assert [values.shape for values in encode_words([[], ["a"]])] == [(0, HIDDEN), (1, HIDDEN)]


def test_context_matters_and_case_does_not():
    bank = encode_words([["the", "river", "bank"], ["the", "central", "bank"], ["The", "RIVER", "Bank"]])
    assert np.abs(bank[0][2] - bank[1][2]).max() > 0.1
    assert np.allclose(bank[0], bank[2], atol=1e-5)


@given(st.integers(0, 3000))
def test_windows_keep_every_token_once_with_context(tokens):
    windows = list(word_features._windows(tokens))
    kept = [token for _, _, keep, until in windows for token in range(keep, until)]
    assert kept == list(range(tokens))
    for first, last, keep, until in windows:
        assert 0 <= first <= keep < until <= last <= tokens and last - first <= WINDOW
        assert first == 0 or keep - first == MARGIN
        assert last == tokens or last - until == MARGIN


def test_a_long_transcript_goes_through_windows():
    words = [f"word{index % 7}" for index in range(900)]
    values = from_words(timed(*words)).values
    assert values.shape == (900, HIDDEN)
    assert np.isfinite(values).all() and values.any(axis=1).all()
    # What is said 300 words later is beyond the first window and changes nothing there.
    changed = from_words(timed(*words[:600], *["other"] * 300)).values
    assert np.allclose(changed[:50], values[:50], atol=1e-4)
    assert not np.allclose(changed[600:], values[600:], atol=1e-4)


def test_a_word_without_tokens_is_an_invalid_step():
    features = from_words(timed("good", "\x07", "film"))
    assert features.valid.tolist() == [True, False, True]
    assert not features.values[1].any()


def test_steps_are_words():
    features = from_words(timed("so", "good"))
    assert features.start.tolist() == [0, 1] and features.end.tolist() == [1, 2]
    assert from_words([]).absent == Message("no_speech")


@pytest.mark.parametrize("threads", [1, 2])
def test_torch_keeps_its_threads(threads):
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(threads)
        from_words(timed("hello"))
        assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)


def test_racing_calls_leave_the_threads_of_all_as_they_were(monkeypatch):
    """Of two calls the one that began first ends first; a thread that first uses torch meanwhile is not held to one."""
    before = torch.get_num_threads()
    inside, go_on = {"first": Event(), "second": Event()}, {"first": Event(), "second": Event()}
    during, after = {}, {}
    encode_words = word_features.encode_words

    def waiting(sentences, *, model):
        name = sentences[0][0]
        during[name] = torch.get_num_threads()
        inside[name].set()
        assert go_on[name].wait(60)
        return encode_words(sentences, model=model)

    def call(name):
        torch.get_num_threads()
        from_words(timed(name))
        after[name] = torch.get_num_threads()

    def ask(name):
        after[name] = torch.get_num_threads()

    def run(target, name):
        thread = Thread(target=target, args=(name,))
        thread.start()
        return thread

    monkeypatch.setattr(word_features, "encode_words", waiting)
    torch.set_num_threads(3)
    try:
        first = run(call, "first")
        assert inside["first"].wait(60)
        run(ask, "meanwhile").join()
        second = run(call, "second")
        assert inside["second"].wait(60)
        for name, thread in (("first", first), ("second", second)):
            go_on[name].set()
            thread.join()
        run(ask, "later").join()
        assert during == {"first": 1, "second": 1}
        assert after == {"first": 3, "meanwhile": 3, "second": 3, "later": 3}
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


LETTERS = "abcdefghijklmnopqrstuvwxyz"


def save_encoder(folder, kind="Bert", positions=40):
    """Save a tiny encoder with random weights whose tokens are letters."""
    import transformers
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    vocabulary = {token: index for index, token in enumerate([*special, *LETTERS, *(f"##{x}" for x in LETTERS)])}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    sizes = {"vocab_size": len(vocabulary), "max_position_embeddings": positions, "pad_token_id": 0}
    names = (
        {"dim": 12, "n_layers": 1, "n_heads": 2, "hidden_dim": 16}
        if kind == "DistilBert"
        else {"hidden_size": 12, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    )
    torch.manual_seed(0)
    config = getattr(transformers, f"{kind}Config")(**sizes, **names)
    getattr(transformers, f"{kind}Model")(config).save_pretrained(folder)
    tokenizer.save(str(folder / "tokenizer.json"))
    return str(folder)


@pytest.mark.parametrize("kind", ["Bert", "DistilBert", "Electra", "Roberta"])
def test_an_encoder_of_ones_own(tmp_path, kind):
    import hashlib

    from transformers import AutoModel

    encoder = save_encoder(tmp_path, kind)
    features = from_words(timed("abc", "d", "\x07"), encoder=encoder)
    reference = AutoModel.from_pretrained(encoder).eval()
    ids = torch.tensor([[2, 4, 31, 32, 7, 3]])  # [CLS] a ##b ##c d [SEP]
    with torch.inference_mode():
        hidden = reference(input_ids=ids).last_hidden_state[0].numpy()
    assert np.allclose(features.values, [hidden[1:4].mean(axis=0), hidden[4], np.zeros(12)], atol=1e-5)
    assert features.valid.tolist() == [True, True, False]
    schema = text_encoder.schema(encoder)
    assert schema.dim == 12 and schema.extractor.startswith(f"{tmp_path.name} last hidden state")
    assert schema.sha256 == hashlib.sha256((tmp_path / "model.safetensors").read_bytes()).hexdigest()
    assert text_encoder.load(encoder).window == (37 if kind == "Roberta" else 38)
    assert from_words([], encoder=encoder).values.shape == (0, 12)


def test_short_windows_hold_the_encoders_own_length(tmp_path):
    values = from_words(timed(*["abc"] * 100), encoder=save_encoder(tmp_path, "Roberta", positions=20)).values
    assert values.shape == (100, 12) and values.any(axis=1).all()


def test_a_clip_with_an_encoder_of_ones_own_has_its_schema(tmp_path):
    path = make_clip(tmp_path / "clip.webm", sound=tone(1, rate=48_000), rate=48_000)
    spoken = Transcript(words=tuple(timed("abc")), source="given")
    features = extract(path, spoken, encoder=save_encoder(tmp_path))
    assert features.language.values.shape == (1, 12) and features.schema.language.dim == 12
    assert features.schema.audio == extract(path, spoken).schema.audio
    assert extract(path, spoken).schema.language == SCHEMA


def test_what_is_no_encoder_is_a_sentence(tmp_path):
    with pytest.raises(AssetError, match=r"has no config\.json"):
        text_encoder.load(str(tmp_path / "nowhere"))
    save_encoder(tmp_path)
    config = (tmp_path / "config.json").read_text()
    (tmp_path / "config.json").write_text(config.replace('"bert"', '"gpt2"'))
    with pytest.raises(AssetError, match="'gpt2', expected one of"):
        text_encoder.load(str(tmp_path))
    (tmp_path / "config.json").write_text("[1]")
    with pytest.raises(AssetError, match="cannot be read"):
        text_encoder.load(str(tmp_path))
    (tmp_path / "config.json").write_text(config)
    (tmp_path / "model.safetensors").write_bytes(b"damaged")
    with pytest.raises(AssetError, match="cannot be loaded"):
        text_encoder.load(str(tmp_path))


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("hidden_size", 1_200_000, "asks for .* weights"),
        ("vocab_size", 10**10, "asks for .* weights"),
        ("intermediate_size", 10**9, "asks for .* weights"),
        ("num_hidden_layers", 10**9, "expected at most 200"),
        ("num_hidden_layers", "many", "invalid literal"),
        ("num_hidden_layers", 3, "asks for .* weights"),
    ],
)
def test_a_config_that_asks_for_more_than_the_weights_hold_is_refused_before_memory_is_taken(
    tmp_path, name, value, why
):
    save_encoder(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, name: value}))
    began = time.perf_counter()
    with pytest.raises(AssetError, match=why):
        text_encoder.load(str(tmp_path))
    assert time.perf_counter() - began < 60


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_refused(tmp_path, number):
    save_encoder(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    name = sorted(weights)[0]
    weights[name].view(-1)[3] = number
    save_file(weights, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(AssetError, match=f"{name} holds NaN or infinity"):
        text_encoder.load(str(tmp_path))


@pytest.mark.parametrize("name", sorted(text_encoder.MAX_BYTES))
def test_files_of_an_encoder_that_are_too_large_are_not_read(tmp_path, name):
    save_encoder(tmp_path)
    os.truncate(tmp_path / name, text_encoder.MAX_BYTES[name] + 1)  # a hole: it takes no room on the disk
    with pytest.raises(AssetError, match=f"{name} has .* bytes, expected at most"):
        text_encoder.load(str(tmp_path))


def test_an_encoder_that_cannot_be_fetched_is_a_sentence():
    with pytest.raises(AssetError, match="could not be fetched"):
        text_encoder.fetch("not/a/hub/id")


def test_words_that_are_left_no_longer_know_of_the_others():
    words = timed("not", "a", "good", "film")
    all_of_them, without = word_features.reread(words, [np.ones(4, bool), np.array([False, True, True, True])])
    assert np.array_equal(all_of_them.values, from_words(words).values)
    assert len(without.values) == 3
    assert without.start.tolist() == [word.start for word in words[1:]]
    assert np.abs(without.values - all_of_them.values[1:]).max() > 0.05, '"good" reads differently without "not"'
    (nothing,) = word_features.reread(words, [np.zeros(4, bool)])
    assert nothing.absent == Message("no_speech")
