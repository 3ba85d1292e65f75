"""Commands of search by meaning: its servers, and what asks them."""
