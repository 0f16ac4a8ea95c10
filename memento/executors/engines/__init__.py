"""What Dask and Ray have in common: batches of tasks go to workers elsewhere, and outcomes come home as bytes."""
