"""The machine: devices, memory, disk, whole files, work ahead, plugins, YAML. Nothing here knows what a view is."""
