"""Who spoke when: segmentation, voice embeddings, clusters, turns, and the words that take them."""
