"""Arrays and images: as archives hold them, in any structure, and how each is scaled."""
