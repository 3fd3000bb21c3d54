"""Class probabilities of a page's frames, kept in 16 bits."""

from __future__ import annotations

import numpy as np

from vary.reading.field import Field, pack_probs, unpack_probs


def test_packed_probabilities_keep_value_and_order() -> None:
    probs = np.sort(np.exp(np.random.default_rng(0).uniform(np.log(1e-9), 0, 50_000)).astype(np.float32))
    codes = pack_probs(np.r_[np.float32(0), probs, np.float32(1)])
    assert codes.dtype == np.uint16
    assert (np.diff(codes.astype(int)) >= 0).all()
    np.testing.assert_allclose(unpack_probs(codes)[1:-1], probs, rtol=2.5e-4)
    np.testing.assert_array_equal(unpack_probs(codes)[[0, -1]], np.float32([2**-31, 1]))


def test_only_frames_that_are_not_blank_are_at_spikes() -> None:
    probs = np.float32([[[0.99, 0.01], [0.5, 0.5]], [[0.985, 0.015], [0.1, 0.9]]])
    field = Field(np.array([[0, 1]]), pack_probs(probs), np.zeros((2, 2, 2), np.float32))
    np.testing.assert_allclose(field.probs_at_spikes(0.02), [[0.5, 0.5], [0.1, 0.9]], rtol=1e-3)
