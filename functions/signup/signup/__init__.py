"""Sign-up and sign-in."""
