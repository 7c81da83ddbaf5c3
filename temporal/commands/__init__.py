"""The commands of stage two: `train`, `sweep`, `predict`, `tune`, `probe`, `finetune`, `export`, `hub`."""
