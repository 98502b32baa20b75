"""The geometry of holes: where they are, what is seen of the picture around them, and how they are filled."""
