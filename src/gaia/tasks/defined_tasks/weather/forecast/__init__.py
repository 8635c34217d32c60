"""A miner's forecast as a Zarr 3 store: the writer, the digest-checked reader, and the chunk codec between them."""
