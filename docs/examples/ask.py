"""Ask Trace from Python, with nothing but the standard library and Arrow.

TRACE_QUERY_URL and TRACE_TOKEN say where and who. Usage: python3 ask.py
"""

import json
import os
import urllib.error
import urllib.request

import pyarrow as pa


def ask(sql, **options):
    """The answer of one SELECT: an Arrow table, or a dict where it was asked for as JSON or exported.

    `options` go into the body as they are: format, namespace, timeout_seconds, overflow, as_of.
    """
    body = {"sql": sql, "namespace": "trace", "format": "arrow", **options}
    request = urllib.request.Request(
        f"{os.environ['TRACE_QUERY_URL']}/v1/query",
        json.dumps(body).encode(),
        {"Authorization": f"Bearer {os.environ['TRACE_TOKEN']}", "Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request) as answer:
            if answer.headers["Content-Type"] == "application/json":
                return json.load(answer)
            return pa.ipc.open_stream(answer).read_all()
    except urllib.error.HTTPError as error:
        problem = json.load(error)
        raise SystemExit(f"{problem['code']}: {problem['detail']}") from None


if __name__ == "__main__":
    blocks = ask("SELECT block_number, gas_used FROM blocks ORDER BY block_number LIMIT 100")
    print(f"{blocks.num_rows} blocks, columns {', '.join(blocks.column_names)}")

    # An answer names what it was computed on. Its token repeats it, whatever came since.
    first = ask("SELECT count(*) FROM blocks", format="json")
    again = ask("SELECT count(*) FROM blocks", format="json", as_of=first["as_of"])
    assert first["rows"] == again["rows"]
    print(f"{first['rows'][0][0]} blocks, now and at that time")
