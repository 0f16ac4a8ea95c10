#!/usr/bin/env bash
# Make the cluster known to its accounting, which a controller needs before its jobs are recorded. Idempotent.
#
#   register_cluster.sh            register it, waiting for slurmdbd up to a minute
#   register_cluster.sh --check    say by the status whether it is registered and both nodes can take jobs
set -euo pipefail

cluster=$(sed -n 's/^ClusterName=//p' "${SLURM_CONF:-/etc/slurm/slurm.conf}")

is_registered() {
    timeout 10 sacctmgr --noheader --parsable2 list cluster format=cluster | grep -qx "$cluster"
}

if [ "${1:-}" = --check ]; then
    is_registered
    [ "$(sinfo --noheader --Node --partition=main --format=%t | grep -cxE 'idle|mix|alloc')" -ge 2 ]
    exit
fi

for ((tries = 0; tries < 60; tries++)); do
    if is_registered; then
        exit 0
    fi
    timeout 10 sacctmgr --immediate --quiet add cluster "$cluster" >/dev/null 2>&1 || sleep 1
done
echo "register_cluster.sh: slurmdbd did not take the cluster $cluster" >&2
exit 1
