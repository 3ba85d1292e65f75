"""Model management: build, fetch, record, judgement of builds, history, presets, the GPU plan."""
