"""The search on a GPU: buffers, graphs and kernels around an executor that runs the model."""
