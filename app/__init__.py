"""Colloquy: AutoGen conversations, live in Socket.IO rooms."""
