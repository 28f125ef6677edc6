"""The data map: the one table of personal data, and look-ups in it."""
