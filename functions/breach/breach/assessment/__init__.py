"""Assessment: who is affected by an incident, and by what."""
