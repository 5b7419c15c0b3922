"""Training techniques, one topic of the lecture per file."""
