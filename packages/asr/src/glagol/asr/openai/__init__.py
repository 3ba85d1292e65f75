"""OpenAI's routes and their streams."""
