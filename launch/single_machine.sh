#!/usr/bin/env bash
# Trains one config on every accelerator of this machine: one process drives them all.
#
#   launch/single_machine.sh [--dry-run] CONFIG WORKDIR [FLAGS ...]
#   launch/single_machine.sh configs/supervised_cityscapes.py runs/cityscapes
#
#   --dry-run        print the command and what would be used, run nothing
#   DEVICES=0,1      use only these GPUs
#
# This is the script for a node with several GPUs too. A process for each GPU would do
# the same steps; one for all shares the decoded pictures and the threads that read them,
# and has nobody to wait for at the start.
#
# Stop it with Ctrl-C or SIGTERM: the step is finished and saved, and the same command
# resumes from there.
set -euo pipefail

dry_run=
if [[ ${1:-} == --dry-run ]]; then
  dry_run=yes
  shift
fi
if [[ $# -lt 2 ]]; then
  sed -n '2,16p' "$0" >&2
  exit 2
fi
config=$1
workdir=$2
shift 2

if [[ ! -f ${config%%:*} ]]; then
  echo "no such config: ${config%%:*} (run this from the repository's root)" >&2
  exit 2
fi
if [[ -n ${DEVICES:-} ]]; then
  export CUDA_VISIBLE_DEVICES=$DEVICES
fi
# Large pages for host memory: a quarter off a step on CPUs, fewer faults elsewhere.
export GLIBC_TUNABLES=${GLIBC_TUNABLES:-glibc.malloc.hugetlb=1}
# Compiled steps are kept from run to run.
export JAX_COMPILATION_CACHE_DIR=${JAX_COMPILATION_CACHE_DIR:-$HOME/.cache/jaxseg}

command=(python -m jaxseg.main --launcher none)
command+=(--config "$config" --workdir "$workdir" "$@")
echo "devices: ${DEVICES:-all}"
printf 'command:'
printf ' %q' "${command[@]}"
echo
if [[ -n $dry_run ]]; then
  exit 0
fi
mkdir -p "$workdir"
exec "${command[@]}"
