"""The arithmetic: arrays in, arrays and frozen dataclasses out; no files, no command line.

Everything that must pass over the customers × items matrix is written once, as functions of a row
block, and mapped by an engine.
"""
