"""The configuration: its files, composition, validation and error messages."""
