"""What runs in vLLM's environment: `python FOLDER MODEL` starts a server; nothing in here imports afterbase."""
