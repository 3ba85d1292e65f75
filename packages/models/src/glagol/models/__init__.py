"""Model management: build, fetch, record and check builds, history, presets, the GPU plan."""
