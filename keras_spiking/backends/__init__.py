"""What a backend does better than `keras.ops` does: one module a backend."""
