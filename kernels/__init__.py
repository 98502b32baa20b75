"""What one step does to z: NumPy references, which are the specification of every faster kernel."""
