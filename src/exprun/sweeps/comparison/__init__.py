"""``exprun compare``: which level of a sweep's factors is better, by how much, how certain that is.

A *level* is a configuration, or, with ``--by``, one value of the chosen factors with the remaining
factors tuned by validation figures. Runs with equal seeds (and splits) form a *block*; the
difference of two levels is the mean of their paired differences over the common blocks.

- ``figures``: the test figure in each block; diverged runs count as the worst figure
- ``levels``: the compared levels; factors that are not compared are tuned on the other seeds
- ``pairs``: the test and the verdict for two levels, adjusted for all pairs (Holm)
- ``more_seeds``: how later batches of seeds are judged, and how many seeds to plan
- ``data_sets``: levels compared across several data sets, by ranks (Friedman, Nemenyi)
- ``factor_effects``: analysis of variance of a full grid
- ``notes``: caveats about the figures
- ``next_commands``: the commands for more seeds, or for a shortlist on fresh seeds
- ``compare``: the comparison, made of all of these
- ``sentences``, ``table``, ``files``, ``configurations_csv``: output as text, table and files

Nothing here imports torch.
"""
