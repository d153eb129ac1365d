"""One module per command: ``run(...)`` loads artifacts, calls the numerics and saves artifacts.

Stages never import one another; they meet only in the run directory. `memory` and `earlier` are no
stages: what one needs of memory, and the run of last month that report compares with.
"""
