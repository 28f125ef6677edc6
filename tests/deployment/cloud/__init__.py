"""A stateful, strict stand-in for Google's APIs, behind an HTTPS proxy with its own CA."""
