"""The token loop: decoding, stops, streams, and a key-value cache that is reused over turns."""
