"""Why a network trains, or does not: what its layers do, measured beside the training."""
