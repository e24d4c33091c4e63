"""The first wall: which statements may run at all, checked in a confined process."""
