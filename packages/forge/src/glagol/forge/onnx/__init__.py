"""ONNX written by hand: protobuf, graphs, products in three precisions, quantisation."""
