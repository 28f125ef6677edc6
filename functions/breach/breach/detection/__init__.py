"""Detection: signals in the audit log, and the incidents that they open."""
