#!/usr/bin/env bash
# W&B agents on this machine, one for each GPU, or as many as the second argument says. Run it on every machine that is to
# join; the first has made the sweep: wandb sweep sweeps/slot_controls.yaml
#   sweeps/cluster/agents.sh ENTITY/PROJECT/SWEEP [AGENTS]
set -euo pipefail

sweep=${1:?usage: agents.sh ENTITY/PROJECT/SWEEP [AGENTS]}
gpus=$(nvidia-smi --list-gpus 2>/dev/null | wc -l || true)
agents=${2:-$((gpus > 0 ? gpus : 1))}

# An agent that is told to end hands the signal on, so a run closes its record log and its W&B run before it goes.
trap 'kill -TERM $(jobs -p) 2>/dev/null || true' TERM INT
for ((n = 0; n < agents; n++)); do
    if ((gpus > 0)); then
        CUDA_VISIBLE_DEVICES=$((n % gpus)) wandb agent --forward-signals "$sweep" &
    else
        wandb agent --forward-signals "$sweep" &
    fi
done

failed=0
for job in $(jobs -p); do
    wait "$job" || failed=1
done
exit "$failed"
