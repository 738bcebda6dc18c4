"""The training loop: one step, one loop, for every loss. It knows nothing of galleries; it calls back."""
