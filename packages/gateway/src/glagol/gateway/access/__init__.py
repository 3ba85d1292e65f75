"""Access to the pages: sessions of people who signed in."""
