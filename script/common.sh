# Shared by the scripts of this folder; sourced, never run. Works with bash 3.2 (macOS).
# shellcheck shell=bash
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
venv="$root/.venv"

# fail MESSAGE: ends the script with a message that says what to do.
fail() {
  printf '%s: %s\n' "$(basename "$0")" "$*" >&2
  exit 1
}

# say MESSAGE: progress goes to standard error, so that results can be read from standard output.
say() {
  printf '%s: %s\n' "$(basename "$0")" "$*" >&2
}

# quietly LOG COMMAND...: runs the command with its output in LOG, which is shown only if it fails.
quietly() {
  local log="$1"
  shift
  mkdir -p "$(dirname "$log")"
  if ! "$@" >"$log" 2>&1; then
    tail -n 60 "$log" >&2
    fail "failed: $* (all of its output: $log)"
  fi
}

# num_jobs: how many compilers to run at once; a C++ compiler here may need 1.5 GB.
num_jobs() {
  local cores memory_kb jobs
  cores="$(getconf _NPROCESSORS_ONLN)"
  jobs="$cores"
  if [ -r /proc/meminfo ]; then
    memory_kb="$(awk '/^MemTotal:/ { print $2 }' /proc/meminfo)"
    if [ $((memory_kb / 1500000)) -lt "$jobs" ]; then
      jobs=$((memory_kb / 1500000))
    fi
  fi
  if [ "$jobs" -lt 1 ]; then
    jobs=1
  fi
  echo "$jobs"
}

# at_least WANTED VERSION: whether VERSION (1.2.3) is WANTED or newer; compares two numbers.
at_least() {
  awk -v wanted="$1" -v version="$2" 'BEGIN {
    split(wanted, w, "."); split(version, v, ".")
    exit !(v[1] + 0 > w[1] + 0 || (v[1] + 0 == w[1] + 0 && v[2] + 0 >= w[2] + 0))
  }'
}

# have_version PROGRAM WANTED: whether PROGRAM is there and `PROGRAM --version` names WANTED or newer.
have_version() {
  local version
  command -v "$1" >/dev/null 2>&1 || return 1
  version="$("$1" --version 2>/dev/null | sed -nE '1s/^[^0-9]*([0-9]+\.[0-9]+).*/\1/p')"
  [ -n "$version" ] && at_least "$2" "$version"
}

# The tools that bootstrap may have put where a fresh shell does not look.
if [ -d "$HOME/.cargo/bin" ]; then
  PATH="$PATH:$HOME/.cargo/bin"
fi
if [ -d "$venv/bin" ]; then
  PATH="$PATH:$venv/bin"
fi
if [ -d /opt/homebrew/bin ]; then
  PATH="/opt/homebrew/bin:$PATH"
fi
export PATH
