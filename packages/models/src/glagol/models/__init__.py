"""Model management: build, fetch, record, smoke test, history, presets, the GPU plan."""
