"""SoccerNet's side: labels, spots, splits, metrics and comparison (numpy only)."""
