#!/usr/bin/env bash
# Proves the checkout, stage by stage: `hack/verify.sh check` is what needs no service (seconds), `hack/verify.sh all`
# is everything, from an empty machine on. Each stage is announced, timed and bounded; the first that fails ends the run
# with its exit code. The last lines are a table of what each stage took, and the tests that were flaky.
# What a stage left running is removed at the end, whatever happened.
set -euo pipefail
cd "$(dirname "$0")/.."

fast=(-m "not services and not apiserver and not cluster")
flaky=.pytest_cache/flaky # each stage's summary is written by tests/support/flaky.py
scratch=$(mktemp -d)
touch "$scratch/begun"
table=()  # a line of the table for each stage
began=()  # processes of the stages that run beside the others, in the order of `titles`
titles=()
trap finish EXIT

timed() { # timed NAME SECONDS COMMAND...: runs it bounded; $scratch/NAME has what it took, and how much of it computing
  local name=$1 bound=$2 code=0 TIMEFORMAT='%R %U %S'
  shift 2
  { time timeout --kill-after=90 "$bound" "$@" 2>&3; } 3>&2 2>"$scratch/$name" || code=$?
  return "$code"
}

ended() { # ended TITLE NAME BOUND CODE: says how a stage ended, and keeps it for the table
  local title=$1 name=$2 bound=$3 code=$4 real=0 user=0 system=0 outcome=ok
  # The last line: above it the shell says what it had to kill.
  read -r real user system < <(tail -n 1 "$scratch/$name") || true
  [ "$code" -eq 0 ] || outcome="failed ($code)"
  [ "$code" -ne 124 ] || outcome="not done within $bound s"
  table+=("$(LC_ALL=C awk -v r="$real" -v c="$user" -v s="$system" -v o="$outcome" -v t="$title" \
    'BEGIN { printf "%6.0f %10.0f  %-8s  %s", r, c + s, o, t }')")
  if [ "$code" -eq 0 ]; then
    printf -- 'ok %s (%.0f s)\n' "$title" "$real"
  else
    printf -- '!! %s: %s\n' "$title" "$outcome"
  fi
  return "$code"
}

stage() { # stage TITLE SECONDS COMMAND...
  local title=$1 bound=$2 code=0
  shift 2
  printf -- '== %s\n' "$title"
  timed stage "$bound" "$@" || code=$?
  ended "$title" stage "$bound" "$code"
}

begin() { # begin TITLE SECONDS COMMAND...: a stage that runs beside those that follow, until `join`
  local title=$1 number=${#began[@]}
  printf -- '== %s (beside the next stages)\n' "$title"
  shift
  printf -- '%s\n' "$1" >"$scratch/$number.bound"
  timed "$number" "$@" >"$scratch/$number.log" 2>&1 &
  began+=($!)
  titles+=("$title")
}

join() { # waits for every stage that was begun, and shows what each wrote; the code of the first that failed
  local number code first=0
  for number in "${!began[@]}"; do
    code=0
    wait "${began[$number]}" || code=$?
    printf -- '== %s\n' "${titles[$number]}"
    cat "$scratch/$number.log"
    ended "${titles[$number]}" "$number" "$(cat "$scratch/$number.bound")" "$code" || [ "$first" -ne 0 ] || first=$code
  done
  began=()
  return "$first"
}

finish() { # removes what still runs, and ends the output with what a reader looks for first
  local code=$?
  for number in "${!began[@]}"; do # a stage before `join` failed: what these wrote says whether they did, too
    printf -- '== %s (until it was ended)\n' "${titles[$number]}"
    tail -n 100 "$scratch/$number.log"
  done
  for process in "${began[@]}"; do # `timeout` is the child: it hands the signal on, and a stage removes its servers
    kill $(cat "/proc/$process/task/$process/children" 2>/dev/null) 2>/dev/null || true
  done
  wait
  if [ "${#table[@]}" -gt 0 ]; then
    printf -- '\n%6s %10s  %-8s  %s\n' seconds computing outcome stage
    printf -- '%s\n' "${table[@]}"
  fi
  # Only what this run wrote: the newest run before it may have been another day's.
  for summary in "$flaky"/*/summary; do
    if [ "$summary" -nt "$scratch/begun" ]; then cat "$summary"; fi
  done
  if [ "$code" -eq 0 ]; then
    printf -- '== all good after %s s\n' "$SECONDS"
  elif [ "${#table[@]}" -gt 0 ]; then
    printf -- '!! failed after %s s\n' "$SECONDS"
  fi
  rm -rf "$scratch"
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
  stage "tools of tests alone" 300 hack/setup tools
  check
  # These wait for processes more than they compute, so they run beside each other. The cluster goes first where all
  # want the processor: it has kubelet probes and leases to answer in time, the others only their own tests.
  begin "what waits for the clock" 1500 .venv/bin/pytest -q -m patient tests # a quarter of an hour
  begin "with real databases, object store, chain and API server" 2400 nice -n 10 \
    .venv/bin/pytest -q -n 3 --dist worksteal --durations=30 -m "(services or apiserver) and not patient and not soak" tests operators
  begin "chart, docs, alerts and health" 900 nice -n 10 \
    .venv/bin/pytest -q "${fast[@]}" tests/chart tests/docs tests/alerts tests/argocd
  stage "on a whole cluster" 2700 .venv/bin/pytest -q --durations=12 --maxfail=5 -m "cluster and not soak" tests
  join
}

case "${1:-}" in
  check) check ;;
  all) all ;;
  *) sed -n '2,5s/^# //p' "$0"; exit 2 ;;
esac
