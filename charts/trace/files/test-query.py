"""What `helm test` asks the installed query service: the right credential answers, every other is refused.

Usage: test-query.py admin|stranger URL. `admin` runs as the first admin's service account and expects the
answer; `stranger` runs as one that is no user of Trace and expects to be refused. Both try a token made for
another audience, a token that is none, and no token at all.
"""

from __future__ import annotations

import json
import sys
import urllib.error
import urllib.request

TOKENS = "/var/run/secrets/tokens"


def ask(url: str, token: str | None) -> tuple[int, str]:
    """Status code and body of one query."""
    headers = {"Content-Type": "application/json"}
    if token is not None:
        headers["Authorization"] = f"Bearer {token}"
    body = json.dumps({"sql": "SELECT 6 * 7 AS answer"}).encode()
    request = urllib.request.Request(f"{url}/v1/query", data=body, headers=headers)  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as refusal:
        return refusal.code, refusal.read().decode()


def main(who: str, url: str) -> int:
    """Run the cases, print each outcome; 0 when all are as expected."""
    with open(f"{TOKENS}/trace") as right, open(f"{TOKENS}/other") as other:
        cases: list[tuple[int, str, str | None]] = [
            (200 if who == "admin" else 403, "a token for Trace", right.read()),
            (401, "a token for another audience", other.read()),
            (401, "a token that is none", "not-a-token"),
            (401, "no token", None),
        ]
    failed = False
    for expected, title, token in cases:
        status, body = ask(url, token)
        good = status == expected and (status != 200 or "42" in body)
        failed = failed or not good
        print(
            f"{'ok' if good else 'FAILED'}: {title}: {status}, expected {expected}" + ("" if right else f": {body}")
        )
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
