#!/usr/bin/env bash
# Proves the checkout, stage by stage: `hack/verify.sh check` is what needs no service (seconds), `hack/verify.sh all`
# is everything, from an empty machine on. Each stage is announced, timed and bounded; the first that fails ends the run
# with its exit code. What a stage left running is removed at the end, whatever happened.
set -euo pipefail
cd "$(dirname "$0")/.."

started=$SECONDS
fast=(-m "not services and not apiserver and not cluster")
beside= # the process of what waits for the clock
log=$(mktemp)
trap '[ -z "$beside" ] || kill "$beside" 2>/dev/null || true; wait; rm -f "$log"' EXIT

stage() { # stage TITLE SECONDS COMMAND...
  local title=$1 bound=$2 began=$SECONDS code=0
  shift 2
  printf -- '== %s\n' "$title"
  timeout --kill-after=90 "$bound" "$@" || code=$?
  if [ "$code" -eq 124 ]; then
    printf -- '!! %s: not done within %s s\n' "$title" "$bound"
  elif [ "$code" -ne 0 ]; then
    printf -- '!! %s: failed (exit code %s)\n' "$title" "$code"
  else
    printf -- 'ok %s (%s s)\n' "$title" "$((SECONDS - began))"
  fi
  return "$code"
}

check() {
  stage "style" 120 .venv/bin/ruff check --quiet .
  stage "format" 60 .venv/bin/ruff format --check --quiet .
  stage "types" 300 .venv/bin/mypy
  stage "layers" 120 .venv/bin/lint-imports --no-logo
  stage "unit and generated" 300 .venv/bin/pytest -q -n 2 --dist worksteal "${fast[@]}" tests/unit tests/generated operators
}

all() {
  stage "set up" 1500 make --no-print-directory setup
  check
  begin_waiting
  stage "chart" 300 .venv/bin/pytest -q tests/chart
  stage "docs" 300 .venv/bin/pytest -q -m "not cluster" tests/docs
  # Two at a time, each with servers of its own: these tests wait for processes more than they compute.
  stage "with real databases, object store, chain and API server" 2400 \
    .venv/bin/pytest -q -n 2 --dist worksteal -m "(services or apiserver) and not patient" tests operators
  stage "on a whole cluster" 2700 .venv/bin/pytest -q --durations=12 -m cluster tests
  end_waiting
}

# What waits a quarter of an hour and computes nothing runs beside the other stages; its verdict is asked for last.
begin_waiting() {
  timeout --kill-after=90 1500 .venv/bin/pytest -q -m patient tests >"$log" 2>&1 &
  beside=$!
}

end_waiting() {
  stage "what waits for the clock" 1500 tail --pid "$beside" -f /dev/null
  local code=0
  wait "$beside" || code=$?
  beside=
  cat "$log"
  [ "$code" -eq 0 ] || printf -- '!! what waits for the clock: failed (exit code %s)\n' "$code"
  return "$code"
}

case "${1:-}" in
  check) check ;;
  all) all ;;
  *) sed -n '2,4s/^# //p' "$0"; exit 2 ;;
esac
printf -- '== all good after %s s\n' "$((SECONDS - started))"
