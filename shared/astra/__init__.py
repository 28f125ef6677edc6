"""The shared package of the privacy functions. It never imports a codebase."""
