"""Other people's completion networks, ONNX files with conventions of their own, to bundles."""
