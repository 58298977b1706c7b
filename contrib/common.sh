# SPDX-License-Identifier: GPL-2.0-or-later
# What quickstart and selftest share: packages and the build. Sourced by bash.

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
build=$top/build

say() { printf '\n== %s\n' "$*"; }
die() { printf '%s: %s\n' "${0##*/}" "$*" >&2; exit 1; }

# need PACKAGE...: installs what of these Debian packages is missing. Leaves apt alone when nothing is.
need() {
	local missing=() p
	command -v dpkg-query >/dev/null || return 0
	for p in "$@"; do
		[ "$(dpkg-query -W -f='${db:Status-Status}' "$p" 2>/dev/null)" = installed ] || missing+=("$p")
	done
	[ ${#missing[@]} -gt 0 ] || return 0
	[ "$(id -u)" = 0 ] || die "missing packages; as root: apt-get install ${missing[*]}"
	say "installing: ${missing[*]}"
	export DEBIAN_FRONTEND=noninteractive
	apt-get -q -y --no-install-recommends install "${missing[@]}" >/dev/null 2>&1 && return 0
	apt-get -q update && apt-get -q -y --no-install-recommends install "${missing[@]}" || die "apt-get could not install ${missing[*]}"
}

build_needs=(gcc libc6-dev make autoconf automake pkg-config libuv1-dev liburcu-dev libinih-dev perl)

# make_velador [TARGET...]: configures and builds in $build, a directory of its own.
make_velador() {
	[ ! -e "$top/config.status" ] || die "the source tree itself was configured; run 'make distclean' in $top first"
	[ -x "$top/configure" ] && [ "$top/configure" -nt "$top/configure.ac" ] || { say "autoreconf"; (cd "$top" && autoreconf -fi) || die "autoreconf failed"; }
	mkdir -p "$build" && cd "$build" || die "no directory $build"
	if [ ! -e config.status ] || [ "$top/configure" -nt config.status ]; then
		say "configure"
		"$top/configure" || die "configure failed"
	fi
	say "make in $build"
	make -j"$(nproc)" "$@" || die "the build failed"
}
