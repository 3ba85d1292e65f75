"""GigaAM: sizes, settings, the authored Conformer graph, the torch reference."""
