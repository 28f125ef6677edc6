"""Uploads: sealing images, and serving them to their owner."""
