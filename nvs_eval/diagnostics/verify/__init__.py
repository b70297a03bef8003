"""A second opinion on scores, by implementations that share no code with nvs-eval's metrics.

`records` verifies records from their kept images, `installation` verifies this machine. `scores`, `lpips` and `pair`
are the independent implementations, in float64; tests compare nvs-eval's metrics with them, too. Only `installation`
imports the code that is verified (`nvs_eval.metrics` except for its weights, `nvs_eval.evaluation.scorer`,
`nvs_eval.protocols`), so that no fault of it can be repeated here. The decoding of image files, the pinned weights of
LPIPS and the reading of records are shared.
"""
