"""The helper package shared by the privacy functions. It never imports a codebase."""
