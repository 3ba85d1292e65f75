"""An index of transcripts: search by meaning and by words, answers with citations."""
