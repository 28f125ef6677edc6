"""State of an account: suspension, tombstones, activity, honeytokens."""
