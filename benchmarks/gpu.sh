#!/bin/sh
# Everything about the trainer that a GPU decides, in under ten minutes on one of the H200's class:
#     benchmarks/gpu.sh                  with the trainer's extra and pytest installed
#     MODEL=DIR benchmarks/gpu.sh        20 steps of this checkpoint (a Qwen-VL one) instead of a tiny one
# Equality tests of the kernels, MFU of the 3B and 7B shapes, images a second, scoring, 20 steps of the real loop.
# A part that fails or takes too long is named at the end, and the others run. Without a GPU it takes small models,
# to prove that it runs. Logs and results: benchmarks/results/gpu*.
set -u
cd "$(dirname "$0")/.." || exit 1
export PYTHONPATH="$PWD:$PWD/benchmarks" OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}" TOKENIZERS_PARALLELISM=false
export PYTORCH_CUDA_ALLOC_CONF="${PYTORCH_CUDA_ALLOC_CONF:-expandable_segments:True}"
python="${PYTHON:-python}"
device=$("$python" -c 'import torch; print("cuda" if torch.cuda.is_available() else "cpu")') || exit 1
longer=1
[ "$device" = cuda ] || longer=5 # of several who share a few cores
logs=benchmarks/results/gpu_logs
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$logs"
failed=""

part() { # NAME SECONDS COMMAND...
    name=$1 seconds=$2
    shift 2
    begun=$(date +%s)
    timeout "$((seconds * longer))" "$@" > "$logs/$name.log" 2>&1
    code=$?
    echo "$name: $(($(date +%s) - begun)) s, exit $code"
    if [ "$code" -ne 0 ]; then
        tail -n 3 "$logs/$name.log"
        failed="$failed $name"
    fi
}

steps() { # 20 optimizer steps of the real loop, on pairs with images and text
    "$python" - "$work" <<'END' &&
import sys
from pathlib import Path
from tests.support.training import small_mix
small_mix(Path(sys.argv[1]), 165)
END
    "$python" -m trainer.config --preset tiny_cpu "model=${MODEL:-tiny/qwen2_5_vl}" "mix=$work/data/mixes/r/f" \
        "out=$work/run" batch_pairs=8 max_steps=20 workers=4 bf16=null zero=2 gradient_checkpointing=selective \
        eval_every_pairs=null save_every_pairs=null freeze_vision=true max_tokens=8192 &&
    "$python" -m trainer.train "$work/run/config.yaml" &&
    "$python" - "$work" <<'END'
import json
import sys
from pathlib import Path
rows = [json.loads(line) for line in (Path(sys.argv[1]) / "run/metrics.jsonl").read_text().splitlines()]
steps = [row for row in rows if "loss" in row]
assert len(steps) == 20, len(steps)
print("losses", [round(row["loss"], 4) for row in steps], "tokens/s", steps[-1]["tokens_per_s"], "mfu", steps[-1]["mfu"])
END
}

case " ${1:-all} " in
*" steps "*) steps; exit $? ;;  # a part of its own, so that `timeout` can end it
esac

results=gpu.json
[ "$device" = cuda ] || results=gpu_cpu.json
rm -f "benchmarks/results/$results"
part kernels 120 "$python" -m pytest -q -x tests/trainer/test_prefix_sharing.py -k "kernel or bf16 or lengths"
part mfu_3b 150 "$python" benchmarks/gpu.py mfu --size 3b --tokens 16384
if [ "$device" = cuda ]; then
    part mfu_7b 180 "$python" benchmarks/gpu.py mfu --size 7b --tokens 8192
fi
part images 60 "$python" benchmarks/gpu.py images
part scoring 60 "$python" benchmarks/gpu.py scoring --size 3b --tokens 16384
part steps 120 sh benchmarks/gpu.sh steps
"$python" benchmarks/gpu.py table
tail -n 1 "$logs/steps.log"
[ -z "$failed" ] || { echo "failed:$failed; logs in $logs"; exit 1; }
