"""Wire formats: pure functions on bytes, no input or output."""
