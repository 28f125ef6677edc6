"""The ground of every function: platform, settings, callables, limits, log."""
