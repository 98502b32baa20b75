"""A model on disk: what it says of itself, its graphs, and which models are there."""
