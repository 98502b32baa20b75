"""What completes a picture: the latent search, the feed-forward pass, and the filling without a network."""

LATENT_SEARCH, FEED_FORWARD, SMOOTH = "latent search", "feed-forward", "smooth"
