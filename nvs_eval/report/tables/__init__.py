"""Tables of records, without torch or numpy.

`options` is what a user chooses, `layout` the same checked and loaded; `blocks` sorts records into rows, `columns`
fills columns, `tables` puts them together, with `notes`, for the writers, which are given what `table` defines.
"""
