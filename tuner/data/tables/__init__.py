"""Tables: read, interpreted, and made numbers."""
