"""The commands of stage one: `extract`, `data`, `cache verify` and `cache pca`, `clips`, `sheet`, `demo`."""
