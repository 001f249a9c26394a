"""Short scripts to copy and change: ``python -m analysis.examples.front_of_several STUDY STUDY``.

- ``front_of_several``: the front of several studies together, and what each of them adds to it
- ``is_tl1_better``: does slimming with TL1 give better fronts than with L1, over repeated studies?
- ``network_for_budget``: which network is the most accurate one within 5 ms?
"""
