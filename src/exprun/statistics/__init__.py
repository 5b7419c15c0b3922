"""Tests, intervals and effect sizes for differences between runs.

Pure functions over arrays with the pairs along the last axis, so that ``bench/verdicts.py`` can
simulate thousands of sweeps with the functions that judge a real one. scipy.special is used rather
than scipy.stats, which takes 0.5 s to import.
"""
