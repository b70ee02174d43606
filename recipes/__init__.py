"""The papers' experiments and the embedded model's training, each runnable small and offline."""
