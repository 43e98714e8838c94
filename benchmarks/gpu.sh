#!/bin/bash
# Tests and benchmarks of the kernels on a machine with an NVIDIA GPU, in ten minutes.
#
#   benchmarks/gpu.sh [--rehearse | --list] [--wheels FOLDER] [RESULTS]
#
# writes RESULTS/report.md (device, versions, steps, tables) and RESULTS/log.txt (all that
# the steps printed); RESULTS is $OUT or gpu-results if it is not given. Every step has
# a time limit; one that fails is recorded, and the next begins. Exits with 1 if any did.
#
# It needs Python with PyTorch and JAX for CUDA, CuPy, Keras, pytest and a C compiler.
# What that Python lacks, and the peers, may lie as wheels in FOLDER: they are installed
# into a folder of their own, without a package index. SpikingJelly has its own CUDA
# kernels only if its wheel was built with SJ_BUILD_NATIVE_CUDA=1.
#
# --rehearse   all steps on a CPU with tiny sizes, where there is no GPU
# --list       prints the steps and their limits in seconds
set -uo pipefail
cd "$(dirname "$0")/.."

TOTAL=580   # seconds, for all
rehearse= list= wheels= results=${OUT:-gpu-results}
while (($#)); do
  case $1 in
    --rehearse) rehearse=1 ;;
    --list) list=1 ;;
    --wheels) wheels=${2:?--wheels FOLDER}; shift ;;
    -*) echo "unknown option $1" >&2; exit 2 ;;
    *) results=$1 ;;
  esac
  shift
done

if [[ $rehearse ]]; then
  neurons='--batch 2 --features 64 --rounds 1 --timesteps 2'
  resnet='--batch 1 --size 64 --rounds 1 --timesteps'
  train='1 2' infer=2
else
  neurons='--batch 128 --features 32768 --rounds 5 --timesteps 4 16 128'
  resnet='--batch 8 --size 224 --rounds 5 --timesteps'
  train='4 16' infer=128
fi
python=${PYTHON:-python3}
tests='tests/backends/test_on_gpu.py tests/backends/test_fused.py tests/backends tests/layers/test_neurons.py tests/layers/test_golden_zoo.py tests/layers/test_parallel_lif.py'
[[ $rehearse ]] && tests=tests/backends/test_on_gpu.py
pytest="$python -m pytest -p no:cacheprovider"
if [[ -z $list && $(nproc) -ge 8 ]] && $python -c 'import xdist' 2>/dev/null; then
  pytest+=' -n 7'  # so many processes of each backend use the GPU at once
fi

# name, limit in seconds, backend, command
steps=(
  "environment|45|torch|environment"
  "kernels|110|both|$pytest $tests"
  "neurons, PyTorch, float32|85|torch|$python benchmarks/neurons.py $neurons"
  "ResNet, PyTorch, training|110|torch|$python benchmarks/resnet.py $resnet $train --data-format channels_first"
  "ResNet, JAX, training|80|jax|$python benchmarks/resnet.py $resnet $train"
  "ResNet, PyTorch, inference|55|torch|$python benchmarks/resnet.py $resnet $infer --inference --data-format channels_first"
  "neurons, JAX, float32|50|jax|$python benchmarks/neurons.py $neurons"
  "neurons, PyTorch, bfloat16|45|torch|$python benchmarks/neurons.py $neurons --dtype bfloat16"
)
if [[ $list ]]; then
  for step in "${steps[@]}"; do IFS='|' read -r name limit _ <<<"$step"; echo "$limit $name"; done
  exit
fi

environment() {
  nvidia-smi || [[ $rehearse ]] || return 1
  for backend in torch jax; do
    KERAS_BACKEND=$backend timeout 20 $python -m keras_spiking.backends || return 1
  done
}

# Runs tests on PyTorch and on JAX at once. An interrupt has pytest tell what failed.
both() {
  local limit=$1 jobs=() status=0
  shift
  for backend in torch jax; do
    env KERAS_BACKEND=$backend $sharing timeout -s INT -k 10 "$limit" "$@" \
      >"$work/$backend" 2>&1 &
    jobs+=($!)
  done
  for job in "${jobs[@]}"; do wait "$job" || status=$?; done
  for backend in torch jax; do echo "$backend:"; cat "$work/$backend"; done
  return $status
}

mkdir -p "$results" && results=$(cd "$results" && pwd)
report=$results/report.md log=$results/log.txt work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export PYTHONPATH=$PWD${PYTHONPATH:+:$PYTHONPATH} PYTHONUNBUFFERED=1
if [[ $wheels ]]; then
  $python -m pip install -q --no-index --no-deps --target "$work/site" "$wheels"/*.whl || exit 1
  export PYTHONPATH=$PWD:$work/site
fi
# Caches of kernels are new, and filled by the tests.
export KERAS_SPIKING_CACHE=$work/kernels CUPY_CACHE_DIR=$work/cupy KERAS_HOME=$work/keras
export TRITON_CACHE_DIR=$work/triton TORCHINDUCTOR_CACHE_DIR=$work/inductor
# Tests share a GPU; without TF32, products are as exact as tests ask.
sharing='XLA_PYTHON_CLIENT_PREALLOCATE=false NVIDIA_TF32_OVERRIDE=0 OMP_NUM_THREADS=1'
sharing+=' JAX_DEFAULT_MATMUL_PRECISION=highest'
[[ $rehearse ]] && export JAX_PLATFORMS=cpu CUDA_VISIBLE_DEVICES=

printf '# Kernels on a GPU\n\n' >"$report"
: >"$log"
rows= failed=0
for step in "${steps[@]}"; do
  IFS='|' read -r name limit backend command <<<"$step"
  left=$((TOTAL - SECONDS))
  ((limit > left)) && limit=$left
  variables="KERAS_BACKEND=$backend"
  [[ $backend == both ]] && variables="KERAS_BACKEND=torch and jax, $sharing"
  printf '\n== %s (%s s): %s %s\n' "$name" "$limit" "$variables" "$command" | tee -a "$log"
  start=$SECONDS status=0
  if ((limit < 5)); then
    status=skipped
  elif [[ $backend == both ]]; then
    both "$limit" $command >"$work/out" 2>"$work/err" || status=$?
  elif [[ $command == environment ]]; then
    environment >"$work/out" 2>"$work/err" || status=$?
  else
    env $variables timeout -k 5 "$limit" $command >"$work/out" 2>"$work/err" || status=$?
  fi
  cat "$work/out" "$work/err" 2>/dev/null | tee -a "$log" | tail -n 15
  [[ $status == 124 || $status == 137 ]] && status='out of time'
  [[ $status == 0 ]] && status=ok || failed=1
  rows+="| $name | $((SECONDS - start)) | $limit | $status | \`$variables $command\` |"$'\n'
  if [[ $backend == both ]]; then
    printf '## %s\n\n```\n%s\n```\n\n' "$name" "$(grep -E '^(FAILED|ERROR|torch:|jax:)|passed|failed' "$work/out" | tail -n 60)" >>"$report"
  else
    printf '## %s\n\n%s\n\n' "$name" "$(cat "$work/out")" >>"$report"
    grep 'takes no part' "$work/err" | sed 's/^/- /' >>"$report"
    echo >>"$report"
  fi
  if [[ $status != ok && -s $work/err ]]; then
    printf 'Its last words (%s):\n\n```\n%s\n```\n\n' "$status" "$(tail -n 8 "$work/err")" >>"$report"
  fi
  rm -f "$work/out" "$work/err"
done
{
  printf '## Steps\n\n| step | time (s) | limit (s) | status | command |\n| --- | --- | --- | --- | --- |\n%s\n' "$rows"
} >>"$report"
printf '\n%s' "$rows"
exit $failed
