"""Access to EVM chains, shared by every operator that reads one. No operator itself, and it imports none.

| module | what it holds |
|---|---|
| `faults` | what a provider may do wrong, and which answer means what |
| `provider`, `pool` | one JSON-RPC endpoint; the endpoints of an rpcPool, with failover |
| `calls`, `head` | requests to one provider: blocks with receipts; the head, hashes of heights |
| `subscribe` | wake-ups at new heads, where a provider has WebSockets |
| `answers` | from an HTTP answer that is no result to a fault |
| `block_data`, `values` | block and receipts taken apart; hex to values, by one grammar |
| `bulk`, `fields` | lists of values by that grammar; fields of many objects as columns |
| `decode`, `schemas` | JSON-RPC objects to rows; the columns of those rows |
| `profiles`, `state_sync` | which rules hold on which chain; what Polygon's nodes leave out |
| `checks`, `links` | what must hold within a block, and from block to block |
| `fetch` | checked batches of rows, fetched ahead of their consumer |
"""
