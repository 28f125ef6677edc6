"""Response: decisions of staff, containment, regulators, the notice."""
