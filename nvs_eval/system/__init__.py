"""The machine: devices and memory, whole files, work ahead, plugins, YAML. Nothing here knows what a view is."""
