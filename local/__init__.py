"""The local stack: set-up, the emulators and servers everything runs against, and the demo."""
