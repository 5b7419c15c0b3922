"""Problems other than training a network: test functions, moving averages, the LR range test.

Each is recorded as a table of numbers, pictures, and the figures of ``result.json``.
"""
