"""Programs that measure, and what they measured. They alternate the contenders in one run."""
