"""AG-UI 1.0: a conversation as a thread, each request as a run over the same log that every other door reads."""
