"""A second opinion on records: the numbers once more, from the kept images, by implementations that are not ours.

Nothing here but `nvs_eval.diagnostics.verify.installation` imports what the numbers were made with (`nvs_eval.metrics`
but for its weights, `nvs_eval.evaluation.scorer`, `nvs_eval.protocols.protocol`): a fault there must not be repeated
here. What is shared is the decoding of image files, the pinned weights of LPIPS and the reading of records.
"""
