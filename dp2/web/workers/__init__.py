"""Worker processes of the page: how the server sees one, and what runs inside it."""
