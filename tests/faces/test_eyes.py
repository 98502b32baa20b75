"""Eyes as people write them."""

from __future__ import annotations

import pytest

from edgefill.errors import InputError
from edgefill.faces.eyes import Eyes, eyes_of, read_eyes


def test_each_four_numbers_are_two_eyes():
    assert eyes_of(read_eyes("10, 20,40.5,24")) == (Eyes(10, 20, 40.5, 24),)
    assert eyes_of(()) == () and len(eyes_of([1, 2, 3, 9, 5, 6, 7, 18])) == 2


@pytest.mark.parametrize("text", ["", "1,2,3", "1,2,3,x", "1,2,2,2", "nan,1,2,3", "1,2,inf,3", "0,0,9,0,5"])
def test_what_is_no_pair_of_eyes_is_refused(text):
    with pytest.raises(InputError, match="x,y,x,y in pixels"):
        eyes_of(read_eyes(text))


def test_what_is_no_number_is_refused():
    with pytest.raises(InputError, match="cannot use the eyes"):
        eyes_of([1, 2, True, None])  # type: ignore[list-item]
