"""Notices to recipients: inbox, campaigns, deliveries, messages, SMTP."""
