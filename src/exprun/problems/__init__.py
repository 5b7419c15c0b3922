"""Problems that train no network: test functions in the plane, moving averages, the LR range test.

All are recorded alike: a table of numbers, pictures, and the figures of ``result.json``.
"""
