"""Speed and memory compared with the peers: `make bench`, or `python -m benchmarks.speed`.

A *case* is one piece of work at one size with one number of threads. Its *contenders*, nvs-eval and the peers, compute
it from the same images. Their values are checked first; then they are timed in turn, round by round, with a matrix
product and a memory copy among them. `cases` lists what is compared, `contenders` how each is called, `__main__` runs
it, and `page` writes the table of docs/speed.md.
"""
