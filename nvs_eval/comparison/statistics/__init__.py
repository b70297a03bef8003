"""Statistics of the difference of two sides on shared views: arrays in, numbers and sentences out."""
