"""Trace: ETL orchestration for blockchain data as a Kubernetes-style reconciling controller."""
