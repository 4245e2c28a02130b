"""What Voiceframe costs, measured beside its peers: `uv run --group bench python -m benchmarks.<name>`."""
