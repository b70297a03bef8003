"""Pictures of results for papers and talks: comparison figures and videos, from the kept images of records."""
