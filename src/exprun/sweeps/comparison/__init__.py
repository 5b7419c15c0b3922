"""``exprun compare``: which level of what a sweep varies is better, by how much, how sure that is.

A *level* is a configuration, or, with ``--by``, one value of the chosen factors with the remaining
factors tuned by validation figures. Runs with equal seeds (and splits) form a *block*; the
difference of two levels is the mean of their paired differences over the common blocks.

- ``figures``: the test figure of each block; diverged runs count as the worst figure
- ``levels``: the compared levels; factors that are not compared are tuned on the other seeds
- ``pairs``: the test and the verdict for two levels, adjusted for all pairs (Holm)
- ``more_seeds``: how later batches of seeds are judged, and how many seeds to plan for
- ``data_sets``: levels compared across several data sets, by ranks (Friedman, Nemenyi)
- ``factor_effects``: analysis of variance of a full grid
- ``notes``: what a reader has to know about the figures
- ``next_commands``: the commands for more seeds, or for a shortlist on fresh seeds
- ``compare``: all of these together
- ``sentences``, ``table``, ``files``, ``configurations_csv``: how it is said, shown and written

Nothing here imports torch.
"""
