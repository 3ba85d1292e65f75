"""GigaAM: log-mel front end, Conformer encoder, CTC and RNN-T decoding, words."""
