"""What every room needs: errors, constants, signals, threads, random streams."""
