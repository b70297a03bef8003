"""Tables of records, without torch or numpy.

`options` is what a user chooses, `layout` the same checked and loaded; `columns` makes the columns, a new one too;
`blocks` sorts records into rows, `tables` puts them together, with `notes`, for the writers, which are given what
`table` defines.
"""
