"""What a kernel reads beside its arrays, as NumPy dtypes that mirror the structs of the sources."""

from __future__ import annotations

import numpy as np

RATES = np.dtype(
    [
        ("lr", np.float32),
        ("first_correction", np.float32),  # Adam: 1 − β₁ᵗ
        ("second_correction", np.float32),  # Adam: 1 − β₂ᵗ
        ("beta", np.float32),  # HMC: inverse temperature
    ]
)
"""What changes from step to step, worked out before the search."""
