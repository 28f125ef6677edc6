"""Deployment: archives, grants, manifests, and the tables of docs/deploy.md."""
