"""Faces in pictures: where their eyes are, and how each is turned and scaled as a model knows faces."""
