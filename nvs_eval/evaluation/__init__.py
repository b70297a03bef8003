"""From views to records: preparing, scoring, rendering, resuming."""
