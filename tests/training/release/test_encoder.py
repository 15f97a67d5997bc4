"""Fine-tuning the text encoder, on a few sentences."""

import copy

import numpy as np
import torch

from extractors.language import text_encoder, word_features
from training.release import encoder
from training.release.encoder import EncoderConfig, Regressor, Sentence

KINDS = {"It was wonderful, I loved it!": 2.5, "It was terrible, I hated it!": -2.5}


def sentences():
    return [
        Sentence(words, score, corpus, split)
        for corpus in ("sst", "mosi")
        for split, times in (("train", 8), ("valid", 2))
        for words, score in KINDS.items()
        for _ in range(times)
    ]


def test_sentences_are_heard_as_a_recogniser_hears_them():
    rng = np.random.default_rng(0)
    bare = EncoderConfig(bare=1.0, word_drop=0.0)
    assert encoder.augmented("Well, it's good - really!", bare, rng).split() == ["Well", "it's", "good", "really"]
    kept = EncoderConfig(bare=0.0, word_drop=0.0)
    assert encoder.augmented("Well, it's good!", kept, rng) == "Well, it's good!"
    assert encoder.augmented("good", EncoderConfig(bare=0.0, word_drop=1.0), rng) == "good"  # never nothing


def test_it_learns_and_what_it_writes_is_an_encoder(tmp_path):
    made = sentences()
    config = EncoderConfig(epochs=(1, 3), batch_size=4, learning_rate=(1e-4, 1e-4))
    model, tools, record = encoder.train(made, config)
    assert encoder.measure(model, tools, made)["acc2_non0"] == 1.0
    assert min(entry["mae"] for entry in record["history"]) < 2.0
    encoder.save(model.encoder.state_dict(), model.encoder, tmp_path)
    loaded = text_encoder.load(str(tmp_path))
    assert next(loaded.encoder.parameters()).dtype == torch.float32
    (ours,), (published,) = (
        word_features.encode_words([["it", "was", "wonderful"]], model=each) for each in (loaded, text_encoder.load())
    )
    assert ours.shape == published.shape
    assert np.abs(ours - published).max() > 1e-2


def test_the_average_is_halfway():
    first = Regressor(copy.deepcopy(text_encoder.load().encoder))
    second = copy.deepcopy(first)
    with torch.no_grad():
        for parameter in second.encoder.parameters():
            parameter += 1.0
    weights = encoder.average([first, second])
    for name, value in first.encoder.state_dict().items():
        if value.is_floating_point():
            torch.testing.assert_close(weights[name], value + 0.5)


def test_the_mean_leaves_out_what_the_extractor_leaves_out():
    tools = text_encoder.load()
    model = Regressor(copy.deepcopy(tools.encoder)).eval()
    tokens, mask = encoder.tokenised(["so good", "a film that nobody should miss this year"], tools)
    with torch.inference_mode():
        scores = model(tokens, mask)
        states = word_features.encode_words([["so", "good"]], model=tools)[0]  # one token a word
        expected = model.head(torch.from_numpy(states.mean(0)))
    torch.testing.assert_close(scores[:1], expected, atol=1e-5, rtol=0.0)
