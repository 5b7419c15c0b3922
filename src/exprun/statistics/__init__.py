"""Statistics of paired runs: what may be said of a difference, and how sure it is.

Pure functions over arrays, the pairs along the last axis, so that ``bench/verdicts.py`` simulates
thousands of sweeps with the functions that judge one. scipy.special is used rather than
scipy.stats, which takes 0.5 s to import.
"""
