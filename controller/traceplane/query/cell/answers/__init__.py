"""Rows of DuckDB as an answer: JSON, CSV, Arrow, or Parquet, without a loss."""
