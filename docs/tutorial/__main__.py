"""Draws every figure of docs/tutorial.md: `make tutorial`."""

from __future__ import annotations

import hidden_value
import losses
import pictures
import ring
import search

if __name__ == "__main__":
    for chapter in (hidden_value, pictures, ring, losses, search):
        chapter.main()
