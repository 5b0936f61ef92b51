"""Measurements of Colloquy beside a plain Flask-SocketIO app, in the same run: ``python -m benchmarks --help``."""
