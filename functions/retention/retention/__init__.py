"""Retention: the hourly sweep, inactivity, and expiry times."""
