#!/usr/bin/env bash
# Trains one config on all workers of a TPU slice, started from your own machine.
#
#   launch/tpu_pod.sh [--dry-run] NAME ZONE CONFIG WORKDIR [FLAGS ...]
#   launch/tpu_pod.sh my-v5e-64 europe-west4-b configs/pico_cityscapes.py /mnt/runs/pico
#
#   --dry-run        print the command, run nothing
#   DIRECTORY=jaxseg where the repository is on the VMs, with jaxseg and jax[tpu] installed
#   PROJECT=...      another project than gcloud's own
#
# WORKDIR is a folder that all workers share (Filestore, or a mounted bucket). Start it in
# tmux: when the connection is lost the run may go on without you, and then the log is in
# WORKDIR. Stop the old run before you start the same command again, which resumes it. One
# worker is enough, since the others stop at the same step:
#   gcloud compute tpus tpu-vm ssh NAME --zone ZONE --worker=0 \
#     --command "pkill -TERM -f '[j]axseg\.main'"
set -euo pipefail

dry_run=
if [[ ${1:-} == --dry-run ]]; then
  dry_run=yes
  shift
fi
if [[ $# -lt 4 ]]; then
  sed -n '2,16p' "$0" >&2
  exit 2
fi
name=$1
zone=$2
config=$3
workdir=$4
shift 4
if [[ ! -f ${config%%:*} ]]; then
  echo "no such config: ${config%%:*} (run this from the repository's root)" >&2
  exit 2
fi
if [[ $workdir != /* ]]; then
  echo "WORKDIR is $workdir: give the absolute path of a folder all workers share" >&2
  exit 2
fi

# Every worker asks its metadata server who the others are (--launcher tpu).
printf -v remote '%q ' cd "${DIRECTORY:-jaxseg}"
printf -v run '%q ' exec python -m jaxseg.main --launcher tpu \
  --config "$config" --workdir "$workdir" "$@"
command=(gcloud compute tpus tpu-vm ssh "$name" --zone "$zone" --worker=all)
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
