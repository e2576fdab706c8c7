"""The chat template: what is known of it, and a conversation as it is given it."""
