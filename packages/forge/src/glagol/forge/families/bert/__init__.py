"""Text encoders of BERT's and XLM-R's shape that turn a text into one vector."""
