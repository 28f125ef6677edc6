"""Usage events."""
