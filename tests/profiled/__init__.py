"""A profile of each worker: see `sitecustomize.py`."""
