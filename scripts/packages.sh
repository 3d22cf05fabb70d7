# shellcheck shell=bash
# Installing packages of Debian and Ubuntu; sourced by the scripts that need one.

# Runs a command as root: as it is, or by sudo where that asks for no password.
as_root() {
    if [[ $EUID -eq 0 ]]; then
        "$@"
    else
        sudo --non-interactive "$@"
    fi
}

# Whether packages can be installed without asking anybody.
can_install() {
    command -v apt-get >/dev/null && as_root true 2>/dev/null
}

# Installs packages; where that is not possible it prints what to install and ends the script.
install_packages() {
    if ! command -v apt-get >/dev/null; then
        echo "Missing here is what Debian and Ubuntu call: $*. Install it and try again." >&2
        exit 1
    fi
    if ! can_install; then
        printf 'Packages are missing. Install them and try again:\n\n    %s && %s\n\n' \
            "sudo apt-get update" "sudo apt-get install $*" >&2
        exit 1
    fi
    echo "installing $*"
    as_root apt-get update -qq </dev/null
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "$@" \
        </dev/null
}
