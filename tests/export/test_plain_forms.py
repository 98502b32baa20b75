"""What stands in for PyTorch's own functions while a trace is made, and what does not change by it."""

from __future__ import annotations

import torch
from torch import Tensor, overrides

from edgefill.export.plain_forms import plain_forms


def test_a_function_keeps_its_name_where_another_one_stands_for_it():
    """Also where nobody has asked PyTorch for a name before."""
    product = Tensor.matmul
    overrides._get_overridable_functions.cache_clear()
    with plain_forms():
        assert Tensor.matmul is not product
        assert overrides.resolve_name(product) == "torch.Tensor.matmul"
    assert Tensor.matmul is product and overrides.resolve_name(torch.add) == "torch.add"
