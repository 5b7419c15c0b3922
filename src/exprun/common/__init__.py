"""What every room needs: errors, constants, signals, threads; torch is not imported here."""
