"""The local stack: the Emulator Suite, Redis, SMTP, and what starts and ends them."""
