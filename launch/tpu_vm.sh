#!/usr/bin/env bash
# Trains one config on one TPU VM, started from your own machine.
#
#   launch/tpu_vm.sh [--dry-run] NAME ZONE CONFIG WORKDIR [FLAGS ...]
#   launch/tpu_vm.sh my-v5e europe-west4-b configs/pico_cityscapes.py runs/pico
#
#   --dry-run        print the command, run nothing
#   DIRECTORY=jaxseg where the repository is on the VM, with jaxseg and jax[tpu] installed
#   PROJECT=...      another project than gcloud's own
#
# CONFIG and WORKDIR are paths on the VM, from DIRECTORY. Start it in tmux: when the
# connection is lost the run may go on without you. The same command resumes, once the old
# run is stopped: --command "pkill -TERM -f '[j]axseg\.main'". Slices of several VMs:
# tpu_pod.sh.
set -euo pipefail

dry_run=
if [[ ${1:-} == --dry-run ]]; then
  dry_run=yes
  shift
fi
if [[ $# -lt 4 ]]; then
  sed -n '2,14p' "$0" >&2
  exit 2
fi
name=$1
zone=$2
shift 2
if [[ ! -f ${1%%:*} ]]; then
  echo "no such config: ${1%%:*} (run this from the repository's root)" >&2
  exit 2
fi

printf -v remote '%q ' cd "${DIRECTORY:-jaxseg}"
printf -v run '%q ' exec launch/single_machine.sh "$@"
command=(gcloud compute tpus tpu-vm ssh "$name" --zone "$zone")
if [[ -n ${PROJECT:-} ]]; then
  command+=(--project "$PROJECT")
fi
command+=(--command "$remote&& $run")
printf 'command:'
printf ' %q' "${command[@]}"
echo
if [[ -n $dry_run ]]; then
  exit 0
fi
if ! command -v gcloud >/dev/null; then
  echo "gcloud is not installed: https://cloud.google.com/sdk/docs/install" >&2
  exit 2
fi
exec "${command[@]}"
