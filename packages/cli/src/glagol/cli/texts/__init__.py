"""What the command says in another language than English; the texts are in ru.toml."""
