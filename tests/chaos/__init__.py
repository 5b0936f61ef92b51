"""Chaos: networks that fail, processes that die, clients that lie. After each, one invariant (``invariant.py``)."""
