"""Records: what a run leaves on the disk."""
