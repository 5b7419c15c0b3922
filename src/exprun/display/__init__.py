"""What the user sees in the terminal: while a run trains, after it, and after a sweep."""
