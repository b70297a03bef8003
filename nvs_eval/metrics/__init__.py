"""The metrics, one file each. `nvs_eval.metrics.registry` makes them from their description in a protocol."""
