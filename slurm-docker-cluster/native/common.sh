# shellcheck shell=bash disable=SC2034 # those who read this use its variables
# What `up`, `down` and `crash` share: where things are, and which processes are ours. Read with `.`, not run.
#
# Every daemon is known by a file with its process id, and before anything is done to a process its name is compared,
# because ids are used again. Nothing is ever ended by its name alone: another Slurm may run beside this one.

CLUSTER=${CLUSTER:-${TMPDIR:-/tmp}/memento-slurm} # short, because sockets lie in it, whose paths may have 107 letters
RUN=$CLUSTER/run
LOG=$CLUSTER/log
ETC=$CLUSTER/etc

fail() {
    echo "${0##*/}: $*" >&2
    exit 1
}

# is_alive PIDFILE NAME: the process in the file lives, has this name, and is not merely waiting to be reaped
is_alive() {
    local process name state
    { read -r process <"$1"; } 2>/dev/null || return 1
    { read -r name <"/proc/$process/comm"; } 2>/dev/null || return 1
    state=$(sed -n 's/^State:[[:space:]]*\(.\).*/\1/p' "/proc/$process/status" 2>/dev/null)
    [ "$name" = "$2" ] && [ -n "$state" ] && [ "$state" != Z ]
}

# end PIDFILE NAME: ask the process to end, insist after ten seconds
end() {
    local process tries
    if is_alive "$1" "$2"; then
        process=$(<"$1")
        kill "$process" 2>/dev/null
        for ((tries = 0; tries < 100; tries++)); do
            is_alive "$1" "$2" || break
            sleep 0.1
        done
        if is_alive "$1" "$2"; then
            echo "${0##*/}: $2 ($process) did not end and is killed" >&2
            kill -9 "$process" 2>/dev/null
        fi
    fi
    rm -f "$1"
}

# below PROCESS...: these processes and all that descend from them
below() {
    local process
    for process; do
        echo "$process"
        # shellcheck disable=SC2046 # several words are wanted
        below $(cat "/proc/$process"/task/*/children 2>/dev/null)
    done
}

# steps_of NODE: the daemons that watch over running jobs there; each listens on a socket named after its job
steps_of() {
    local socket process
    for socket in "$CLUSTER/spool/$1/$1"_*.*; do
        [ -S "$socket" ] || continue
        process=$(ss --listening --unix --processes --no-header src "$socket" | sed -n 's/.*pid=\([0-9]*\).*/\1/p;q')
        [ -z "$process" ] || [ "$(cat "/proc/$process/comm" 2>/dev/null)" != slurmstepd ] || echo "$process"
    done
}
