"""The commands on labels and predictions: `evaluate`, `compare`, `view`, `data convert`, and the part of `export` that
takes predictions.
"""
