"""The trusted side of a query: the engine, its conversation with a cell, and the processes of cells."""
