"""A run is a folder: `folder` makes and reads it, `measure` makes what else is in it."""
