"""Traffic for the example chain: real transfers and real ERC-20 logs."""
