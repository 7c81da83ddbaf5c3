"""Stage one: video to feature stores (torch, timm, decord, PyAV)."""
