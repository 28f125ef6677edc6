"""The staff command `astra`: runs on the machines of staff and operators, and is never deployed."""
