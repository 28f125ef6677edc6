"""Encryption per user, with keys that can be destroyed."""

from astra.vault.keys import ObjectKey, Vault, seal, vault_of

__all__ = ["ObjectKey", "Vault", "seal", "vault_of"]
