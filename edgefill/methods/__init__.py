"""What completes a picture: the latent search, and the feed-forward pass."""
