"""Who is calling: users by OIDC tokens, tasks by capability tokens."""
