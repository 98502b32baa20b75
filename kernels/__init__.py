"""What one step does to z: NumPy references, the CUDA kernels they specify, and how those reach a device."""
