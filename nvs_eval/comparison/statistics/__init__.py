"""What can be said of how two sides differ that were scored on the same views: arrays in, numbers and words out."""
