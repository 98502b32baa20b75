"""The tests mirror the sources."""

import edgefill  # noqa: F401 - first, as it silences ONNX Runtime
