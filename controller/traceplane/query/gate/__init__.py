"""The first wall: which statements may run at all, decided in a confined process."""
