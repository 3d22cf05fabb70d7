# shellcheck shell=bash
# The Postgres server programs of this machine; sourced by the scripts that need them.

# Prints the directory of the newest Postgres that is 15 or newer; fails if there is none.
find_postgres() {
    local dir major newest=14 found=
    for dir in /usr/lib/postgresql/*/bin "$(dirname "$(command -v initdb || echo /none/initdb)")"; do
        [[ -x $dir/initdb ]] || continue
        # "initdb (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)"
        major=$("$dir/initdb" --version | grep -oE '[0-9]+' | head -n 1)
        if ((major > newest)); then
            newest=$major
            found=$dir
        fi
    done
    [[ -n $found ]] && echo "$found"
}

# Runs a command in directory $1 as a user whom Postgres accepts: it refuses to be root.
as_postgres() (
    cd "$1" || exit
    shift
    if [[ $EUID -ne 0 ]]; then
        "$@"
    elif id postgres >/dev/null 2>&1; then
        runuser -u postgres -- "$@"
    else
        runuser -u nobody -- "$@"
    fi
)
