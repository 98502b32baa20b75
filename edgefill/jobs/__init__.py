"""What is asked of a completion, the picture that it is asked of, and what comes back."""
