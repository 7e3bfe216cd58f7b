"""What was decided live, decided again from what was recorded; the difference is zero, or it is named."""
