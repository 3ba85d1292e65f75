"""Who uses the pages: sessions of people who signed in."""
