"""Terminal output: during a run, after it, and after a sweep."""
