"""Pictures and masks: reading, writing, showing them, and what is known of them."""
