"""Speed and memory against the peers: `make bench`, or `python -m benchmarks.speed`.

A *case* is one piece of work at one size with one number of threads. Its *contenders*, ours and the peers', compute it
of the same images: first their values are checked, then they are timed in turn, round by round, with a matrix product
and a memory copy among them. `cases` says what is compared, `contenders` how each is called, `__main__` runs it,
`readme` makes the README's table of the results.
"""
