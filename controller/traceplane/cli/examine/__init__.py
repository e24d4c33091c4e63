"""What `tracectl doctor` looks at: the cluster through kubectl, and the installation through its user API."""
