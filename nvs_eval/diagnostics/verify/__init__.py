"""A second opinion on scores: the numbers once more, by implementations that share no code with nvs-eval's metrics.

`records` verifies records from their kept images, `installation` this machine. `scores`, `lpips` and `pair` are the
independent implementations, in float64; the tests compare nvs-eval's metrics with them, too. `installation` alone
imports what the numbers were made with (`nvs_eval.metrics` except for its weights, `nvs_eval.evaluation.scorer`,
`nvs_eval.protocols`): a fault there must not be repeated here. Shared are the decoding of image files, the
pinned weights of LPIPS and the reading of records.
"""
