"""The file of `nvs-eval suite`, and what it asks for."""
