"""Masks are files that say what they belong to."""

import numpy as np
import pytest

from alignmamba.evaluation.masks import Masks, draw_imbalanced, draw_lnln, imbalanced_rates
from alignmamba.modality import MODALITIES, Modality


def masks(**changes):
    kept = {"modalities": draw_imbalanced(40, dict(zip(MODALITIES, (0.2, 0.5, 0.8), strict=True)), seed=1)}
    return Masks(**{"protocol": "imbalanced", "seed": 1, "test_set": "abc", "kept": kept, **changes})


def test_a_file_brings_back_what_was_written(tmp_path):
    written = masks()
    written.write(tmp_path / "new" / "a.safetensors")
    read = Masks.read(tmp_path / "new" / "a.safetensors", protocol="imbalanced", seed=1, test_set="abc")
    assert read.sha256 == written.sha256
    np.testing.assert_array_equal(read.kept["modalities"], written.kept["modalities"])
    other = masks(kept={"modalities": ~written.kept["modalities"]})
    assert other.sha256 != written.sha256


@pytest.mark.parametrize(
    ("expected", "message"),
    [
        ({"test_set": "other"}, "masks of test_set 'abc', expected 'other'"),
        ({"protocol": "random"}, "masks of protocol 'imbalanced', expected 'random'"),
        ({"seed": 2}, "masks of seed 1, expected 2"),
    ],
)
def test_masks_of_another_test_set_are_refused(tmp_path, expected, message):
    masks().write(tmp_path / "a.safetensors")
    with pytest.raises(ValueError, match=message):
        Masks.read(tmp_path / "a.safetensors", **{"protocol": "imbalanced", "seed": 1, "test_set": "abc", **expected})


def test_what_is_no_file_of_masks_is_named(tmp_path):
    known = {"protocol": "imbalanced", "seed": 1, "test_set": "abc"}
    (tmp_path / "a.safetensors").write_bytes(b"masks")
    with pytest.raises(ValueError, match="expected a file of masks"):
        Masks.read(tmp_path / "a.safetensors", **known)
    masks().write(tmp_path / "b.safetensors")
    data = bytearray((tmp_path / "b.safetensors").read_bytes())
    data[-1] ^= 1
    (tmp_path / "b.safetensors").write_bytes(data)
    with pytest.raises(ValueError, match="is damaged, its hash is not that of what it holds"):
        Masks.read(tmp_path / "b.safetensors", **known)


def test_imbalanced_rates_take_every_order():
    assert len({tuple(rates.values()) for rates in imbalanced_rates(MODALITIES)}) == 6
    assert [tuple(rates.values()) for rates in imbalanced_rates(MODALITIES[:2])] == [(0.2, 0.8), (0.8, 0.2)]
    with pytest.raises(ValueError, match=r"rate: 1\.5 of audio"):
        draw_imbalanced(10, {Modality.AUDIO: 1.5}, seed=1)


def test_lnln_keeps_both_ends_of_the_text():
    valid = {Modality.AUDIO: np.ones(1000, bool), Modality.LANGUAGE: np.array([False, True, True, True, False])}
    kept = draw_lnln(valid, rate=0.9, rng=np.random.default_rng(0))
    assert kept[Modality.LANGUAGE][[1, 3]].all()
    assert kept[Modality.AUDIO].mean() == pytest.approx(0.1, abs=0.03)
    with pytest.raises(ValueError, match=r"rate: 1.0, expected a share in \[0, 1\)"):
        draw_lnln(valid, rate=1.0, rng=np.random.default_rng(0))
