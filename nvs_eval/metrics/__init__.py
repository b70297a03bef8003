"""The metrics, one module or package each. `nvs_eval.metrics.describe` builds them as a protocol describes them."""
