"""Tables of records: rows, columns, notes."""
