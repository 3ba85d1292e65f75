"""How transcribed words are written: numbers as digits, and what is masked."""
