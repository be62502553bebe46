#!/usr/bin/env bash
# Makes one virtual environment for each peer in .peers/ (imitation pins an old gymnasium, so they cannot share one).
# PEERS="trl trl-ppo" makes only these. PYTHON=python3.12 chooses the interpreter; PLAUDIT_TORCH_INDEX names an index of
# CPU builds of torch, as in the Makefile.
set -euo pipefail
cd "$(dirname "$0")/../.."
for peer in ${PEERS:-imitation sb3 trl trl-ppo}; do
  folder=.peers/$peer
  echo "Setting up $folder (minutes, no output)"
  [ -x "$folder/bin/python" ] || "${PYTHON:-python3}" -m venv "$folder"
  "$folder/bin/python" -m pip -qq --disable-pip-version-check install \
    ${PLAUDIT_TORCH_INDEX:+--extra-index-url "$PLAUDIT_TORCH_INDEX"} -r "benchmarks/peers/requirements-$peer.txt"
done
