"""Delivery of campaigns and single notices."""
