"""What completes a picture: the latent search, and the feed-forward pass."""

LATENT_SEARCH, FEED_FORWARD = "latent search", "feed-forward"
