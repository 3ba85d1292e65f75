"""How transcribed words are written: numbers as digits, and numbers that nobody may read."""
