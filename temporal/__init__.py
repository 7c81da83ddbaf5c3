"""Stage two: clips, targets, heads, training and prediction on cached features (torch)."""
