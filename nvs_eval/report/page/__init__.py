"""The page of `nvs-eval report`: plain data in, HTML and scripts out. Pictures and maps are made elsewhere."""
