"""Pictures of trainings and sweeps for slides: ``exprun plot``. All take matplotlib's time."""
