"""Is this picture fit to keep? One question, one file."""
