"""Tables of records, without torch or numpy.

`options` has the user's options, and `layout` the checked and loaded ones. `blocks` sorts records into rows, `columns`
makes columns (add a new kind there), `tables` combines them with `notes`. Writers format the result, a `table`.
"""
