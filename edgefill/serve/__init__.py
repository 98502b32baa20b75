"""Completing pictures for others: HTTP, and a page to paint on. Needs the extra ``serve``."""
