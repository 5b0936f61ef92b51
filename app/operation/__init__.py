"""What administrators change while the server runs: the models that answer, and limits."""
