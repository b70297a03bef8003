"""The machine: devices and memory, atomic files, prefetching, plugins, YAML. Nothing here depends on views."""
