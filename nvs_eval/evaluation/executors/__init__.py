"""Many workers for one suite: its cells, who works on which, and the engines that run them.

The output folder is all that workers share. Nothing of a scheduler is here: processes, SLURM and Ray start the cells.
"""
