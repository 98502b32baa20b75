"""Generators and discriminators that exist, as files of other frameworks, to models that search."""
