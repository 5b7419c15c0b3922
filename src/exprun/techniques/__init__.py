"""The lecture's topics, one file each: what a training is made of."""
