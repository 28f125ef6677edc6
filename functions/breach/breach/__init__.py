"""Breach alerts, in three stages: detection, assessment, response."""
