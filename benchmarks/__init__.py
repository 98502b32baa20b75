"""Programs that measure, and what they measured. They alternate the contenders in one run."""

import edgefill  # noqa: F401 - first, as it silences ONNX Runtime
