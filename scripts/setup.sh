#!/usr/bin/env bash
# setup.sh: install the Debian packages that a make target needs and this machine lacks.
#
#   setup.sh NEED...
#
# A NEED is PROGRAM=PACKAGE, /A/FILE=PACKAGE, or a PACKAGE alone, which dpkg is asked for.
# Where everything is there, nothing is printed, nothing is changed and no network is used. Otherwise
# it needs root and apt-get; it says what it installs, and starts no service.
set -euo pipefail
export LC_ALL=C DEBIAN_FRONTEND=noninteractive PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin"

lock=/run/lock/drover-setup
policy=/usr/sbin/policy-rc.d
log=

is_there() { # is_there NEED
  case $1 in
    /*=*) [ -e "${1%%=*}" ] ;;
    *=*) command -v "${1%%=*}" >/dev/null ;;
    *) dpkg-query -W -f '${Status}' "$1" 2>/dev/null | grep -q ' installed$' ;;
  esac
}

missing_packages() { # missing_packages NEED... : one package a line, each once
  local need
  for need in "$@"; do
    is_there "$need" || echo "${need#*=}"
  done | sort -u
}

fail() { # fail REASON PACKAGE...
  local reason=$1
  shift
  echo "setup: $reason; install these Debian packages (or what your system calls them): $*" >&2
  exit 1
}

# Debian starts a service as soon as it is installed, unless policy-rc.d says no (exit status 101).
# A policy that is there already is the machine's own and stays as it is.
forbid_services() {
  [ ! -e "$policy" ] && [ ! -L "$policy" ] || return 0
  trap 'rm -f "$policy"' EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM
  printf '#!/bin/sh\nexit 101\n' >"$policy"
  chmod 755 "$policy"
}

install_packages() { # install_packages PACKAGE...
  echo "setup: installing $*" >&2
  log=$(mktemp)
  forbid_services
  # A mirror that cannot be reached is told by the install itself, with the package's name.
  apt-get update -qq >"$log" 2>&1 || true
  if ! apt-get install -y -qq --no-install-recommends -o DPkg::Lock::Timeout=300 "$@" \
    </dev/null >>"$log" 2>&1; then
    tail -n 15 "$log" >&2
    rm -f "$log"
    fail "apt-get install failed" "$@"
  fi
  rm -f "$log"
}

main() {
  local missing still
  mapfile -t missing < <(missing_packages "$@")
  [ ${#missing[@]} -gt 0 ] || return 0
  command -v apt-get >/dev/null || fail "there is no apt-get here" "${missing[@]}"
  [ "$(id -u)" = 0 ] || fail "not root" "${missing[@]}"
  # One at a time: the end of one install would take the policy away from under another.
  exec 9>"$lock"
  flock 9
  mapfile -t missing < <(missing_packages "$@")
  [ ${#missing[@]} -gt 0 ] || return 0
  install_packages "${missing[@]}"
  mapfile -t still < <(missing_packages "$@")
  [ ${#still[@]} = 0 ] || fail "installed, and still not found" "${still[@]}"
}

main "$@"
