"""The transparency log's sequencer and its witness."""
