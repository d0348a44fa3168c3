"""Everything that is not science: devices, checkpoints, metrics and the process."""
