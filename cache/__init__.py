"""What lasts on disk: feature stores, feature sets and run folders (h5py, numpy)."""
