"""Erasure of accounts and of single items."""
