"""What processes tell about themselves: metrics and logs."""
