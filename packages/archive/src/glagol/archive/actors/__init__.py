"""The processes of an archive: what they do, what they say to each other, and how Ray runs them."""
