"""From prepared videos to shards of editing pairs that training reads.

One video is one task (`tasks`), which any engine runs (`engines`) and whose result lies in a file
of its own (`frames_store`). Of all frames pairs are chosen (`pairing`), split by identity
(`splitting`) and written as Parquet files (`writing`) with a manifest and a data card. What an
engine does decides nothing about the shards: they are made from the frame files, in an order of
their own.
"""
