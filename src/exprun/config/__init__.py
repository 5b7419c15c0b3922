"""The configuration: where it lies, what may stand in it, and what is said when it is wrong."""
