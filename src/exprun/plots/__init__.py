"""Pictures of trainings and sweeps for slides: ``exprun plot``. Most modules import matplotlib."""
