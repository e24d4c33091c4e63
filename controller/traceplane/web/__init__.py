"""What every HTTP API shares: problems on the wire, bodies, authentication, rate limits."""
