"""Whatever the picture, the mask, the box and the model: what is known comes back as it was."""

from __future__ import annotations

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from edgefill.completion import Completer, Request, Result, SearchSettings
from edgefill.errors import InputError
from edgefill.jobs.photograph import BLENDS
from edgefill.pictures.masks import MASKS
from tests.completion.fakes import fake_model, fake_runtime

COMPLETERS = {
    channels: Completer(model, fake_runtime(model)) for channels in (1, 3) if (model := fake_model(channels))
}
FAST = SearchSettings("adam", steps=2)


@settings(max_examples=150, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(
    mode=st.sampled_from(["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16"]),
    size=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    corner=st.tuples(st.integers(0, 20), st.integers(0, 20)),
    mask=st.sampled_from([*MASKS, "random:0.9", "random:1", "alpha"]),
    blend=st.sampled_from(BLENDS),
    channels=st.sampled_from([1, 3]),
    seed=st.integers(0, 2**32),
)
def test_known_pixels_come_back_bit_for_bit(mode, size, corner, mask, blend, channels, seed):
    blank = Image.new(mode, size)
    image = Image.frombytes(mode, size, np.random.default_rng(seed).bytes(len(blank.tobytes())))
    if mode == "P":
        image.putpalette(bytes(range(256)) * 3)
    box = (*corner, max(1, size[0] - corner[0]), max(1, size[1] - corner[1]))
    request = Request(mask, seed, box, FAST, blend)
    (outcome,) = COMPLETERS[channels].complete_many([image], request)
    if not isinstance(outcome, Result):
        assert isinstance(outcome.error, InputError)
        assert mask == "alpha" or corner[0] >= size[0] or corner[1] >= size[1]
        return
    before, after = outcome.photograph.picture, outcome.picture
    known = np.ones(before.size, bool)
    outcome.photograph.box.cut(known)[:] = outcome.photograph.known
    np.testing.assert_array_equal(after.values[known], before.values[known])
    assert after.to_pil().size == before.to_pil().size
    assert after.to_pil().mode == before.to_pil().mode
