"""The search for the z whose picture fits what is known."""
