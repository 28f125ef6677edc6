"""Governance: staff roles, policies, legal holds, disclosures, transfers, processors."""
