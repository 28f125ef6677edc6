"""Stand-ins for services that cannot run here, and a real SMTP server."""
