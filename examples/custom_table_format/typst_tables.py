"""Tables in Typst."""


def write(tables, style):
    """Write each table as a Typst table."""
    return "".join(map(_table, tables))


def _table(table):
    heading = ", ".join(f"[*{_escaped(column.name)}*]" for column in table.columns)
    rows = [", ".join(f"[{_escaped(cell.text)}]" for cell in row) for row in table.rows]
    lines = [f"#table(columns: {len(table.columns)},", f"  {heading},", *(f"  {row}," for row in rows), ")", ""]
    return "\n".join([f"// {table.title}: {table.caption}", *lines])


def _escaped(text):
    return "".join(f"\\{letter}" if letter in "\\#$*_[]<>@`" else letter for letter in text)
