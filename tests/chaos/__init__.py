"""Load with faults, histories of what clients saw, and the checker that judges them."""
