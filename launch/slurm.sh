#!/usr/bin/env bash
# Trains one config on the nodes of a SLURM job, one process a node for all its GPUs.
#
#   sbatch [--nodes=4 ...] launch/slurm.sh CONFIG WORKDIR [FLAGS ...]
#   launch/slurm.sh --dry-run CONFIG WORKDIR [FLAGS ...]
#
#   --dry-run        print the settings and the command, run nothing
#   VENV=...         a virtual environment to activate first
#
# What is set below can be given to sbatch instead. WORKDIR is a folder that all nodes
# share. Two minutes before the time is up, or after `scancel --signal=TERM JOB`, the step
# is finished and saved; the same command resumes from there.
#SBATCH --job-name=jaxseg
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=8
#SBATCH --cpus-per-task=32
#SBATCH --time=24:00:00
#SBATCH --signal=TERM@120
#SBATCH --open-mode=append
set -euo pipefail

dry_run=
if [[ ${1:-} == --dry-run ]]; then
  dry_run=yes
  shift
fi
if [[ $# -lt 2 ]]; then
  sed -n '2,12p' "$0" >&2
  exit 2
fi
config=$1
workdir=$2
shift 2
if [[ ! -f ${config%%:*} ]]; then
  echo "no such config: ${config%%:*} (submit this from the repository's root)" >&2
  exit 2
fi

# A task that ends with an error ends the others, should they not have noticed.
command=(srun --kill-on-bad-exit=1 python -m jaxseg.main --launcher auto)
command+=(--config "$config" --workdir "$workdir" "$@")
echo "nodes: ${SLURM_JOB_NODELIST:-as set}"
printf 'command:'
printf ' %q' "${command[@]}"
echo
if [[ -n $dry_run ]]; then
  grep '^#SBATCH' "$0"
  exit 0
fi
if [[ -z ${SLURM_JOB_ID:-} ]]; then
  echo "this is no SLURM job: submit it with sbatch $0 CONFIG WORKDIR" >&2
  exit 2
fi
if [[ -n ${VENV:-} ]]; then
  # shellcheck source=/dev/null
  source "$VENV/bin/activate"
fi
# Since SLURM 22.05 srun does not take --cpus-per-task over from the job.
if [[ -n ${SLURM_CPUS_PER_TASK:-} ]]; then
  export SRUN_CPUS_PER_TASK=$SLURM_CPUS_PER_TASK
fi
mkdir -p "$workdir"
exec "${command[@]}"
