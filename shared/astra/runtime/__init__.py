"""What every function stands on: platform, settings, callables, limits, logging."""
