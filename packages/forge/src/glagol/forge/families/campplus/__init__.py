"""Who speaks: PyanNet's segmentation and CAM++'s voice embeddings, authored as ONNX graphs."""
