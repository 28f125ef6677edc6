"""The demo: one customer, from sign-up to the certificate of erasure."""
