"""Fast execution of iterations: recorded and replayed with the plain loop's bits, or native C."""
