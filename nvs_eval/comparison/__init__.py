"""An honest comparison of contenders over the views that they share."""
