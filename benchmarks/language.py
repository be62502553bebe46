"""Language models: speed and memory against TRL and transformers, with outputs that are checked to be equal first.

    python benchmarks/language.py PAIRS.jsonl.gz --repeats 3           # everything; wants an idle machine
    python benchmarks/language.py PAIRS.jsonl.gz --only decode ppo     # some workloads; the others keep their rows
    python benchmarks/language.py PAIRS.jsonl.gz --only decode --repeats 1 --quick   # a trial: less work, no file
    python benchmarks/language.py PAIRS.jsonl.gz --precision fp32      # a processor without bfloat16 products

PAIRS.jsonl.gz are HH-RLHF's. Every run is a process of its own; ours and theirs in turn. Writes results/language.json
and results/language.md, or language-fp32.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

from language_table import Target, page
from speed import machine

HERE = Path(__file__).resolve().parent
RESULTS = {"bf16": HERE / "results" / "language.json", "fp32": HERE / "results" / "language-fp32.json"}
PEERS = {"trl": "PLAUDIT_PEER_TRL", "trl-ppo": "PLAUDIT_PEER_TRL_PPO"}
FIRST_SEED = 100
TIMEOUT = 3600  # seconds for one process: more means that something hangs


@dataclass(frozen=True)
class Check:
    """What both sides compute in fp32, and how far it may be apart."""

    ours: str
    peer: str
    tolerance: float


@dataclass(frozen=True)
class Workload:
    """One block of the table: commands that do the same work, each a script with its arguments."""

    title: str
    ours: dict[str, str]  # label -> arguments of language_ours.py
    peers: dict[str, str]  # label -> "environment script arguments"
    unit: str  # what a second is divided by: tokens, pairs, updates
    targets: tuple[Target, ...]
    check: Check | None = None


def tuning(name: str, title: str, unit: str, steps: int, targets: tuple[Target, ...]) -> Workload:
    """Reward model, DPO, SFT: the same batches, one after another."""
    arguments, peer = f"{name} BATCHES --steps {steps}", f"trl trl_tune.py {name} BATCHES --steps {steps}"
    return Workload(
        title,
        ours={"plaudit, bf16": f"{arguments} --precision bf16"},
        peers={
            "TRL, bf16, no checkpointing": f"{peer} --precision bf16",
            "TRL, defaults": f"{peer} --defaults",
        },
        unit=unit,
        targets=targets,
        check=Check(
            f"{name} BATCHES --steps 2 --precision fp32 --check",
            f"trl trl_tune.py {name} BATCHES --steps 2 --precision fp32 --check",
            2e-3,
        ),
    )


def decoding(batch: int, targets: tuple[Target, ...], precision: str = "bf16") -> Workload:
    arguments = f"BATCHES --batch {batch} --new 64 --precision {precision}"
    return Workload(
        f"Decoding, {batch} prompts of 64, 64 new tokens, sampled, {precision}",
        ours={f"plaudit, {precision}": f"decode {arguments}"},
        peers={f"transformers generate, {precision}": f"trl transformers_generate.py {arguments}"},
        unit="tokens",
        targets=targets,
        check=Check(
            f"decode BATCHES --batch {batch} --new 64 --precision fp32 --check",
            f"trl transformers_generate.py BATCHES --batch {batch} --new 64 --precision fp32 --check",
            2e-3,
        ),
    )


FAST, DEFAULTS = "TRL, bf16, no checkpointing", "TRL, defaults"
OURS = "plaudit, bf16"
GENERATE = "transformers generate, bf16"
PPO = "trl-ppo trl_ppo.py BATCHES --new 48 --steps 1"
WORKLOADS = {
    "decode": decoding(64, (Target(OURS, GENERATE, 2.4), Target(OURS, floor=0.6))),
    "decode-16": decoding(16, (Target(OURS, GENERATE, 2.0),)),
    "decode-fp32": decoding(64, (Target("plaudit, fp32", "transformers generate, fp32", 1.6),), "fp32"),
    "reward": tuning(
        "reward",
        "Reward model, full fine-tuning, real pairs, 3 steps of 8",
        "pairs",
        3,
        (Target(OURS, FAST, 2.5), Target(OURS, DEFAULTS, 3.0), Target(OURS, gigabytes=4.0)),
    ),
    "dpo": tuning(
        "dpo",
        "DPO, full fine-tuning, real pairs, 1 step of 8",
        "pairs",
        1,
        (Target(OURS, FAST, 4.5), Target(OURS, gigabytes=5.0)),
    ),
    "sft": tuning(
        "sft",
        "SFT, packed rows of 512 that do not see each other, 1 step of 8",
        "tokens",
        1,
        (Target(OURS, FAST, 1.5),),
    ),
    "ppo": Workload(
        "PPO, 1 update: 16 prompts of 64, 48 new tokens, 4 epochs",
        ours={
            "plaudit, full, bf16": "ppo BATCHES --new 48 --steps 1",
            "plaudit, default (upper layers, bf16)": "ppo BATCHES --new 48 --steps 1 --method upper",
        },
        peers={
            "TRL 1.12, bf16, no checkpointing": PPO,
            "TRL 1.12, defaults": f"{PPO} --defaults",
        },
        unit="updates",
        targets=(
            Target("plaudit, full, bf16", "TRL 1.12, bf16, no checkpointing", 2.0, memory=0.5),
            Target("plaudit, default (upper layers, bf16)", "TRL 1.12, bf16, no checkpointing", 6.0, memory=0.5),
        ),
        check=Check(
            "ppo BATCHES --precision fp32 --check", "trl-ppo trl_ppo.py BATCHES --precision fp32 --check", 2e-3
        ),
    ),
    "grpo": Workload(
        "GRPO, 1 step: 8 prompts of 64, 4 completions of 64",
        ours={OURS: "grpo BATCHES --new 64 --steps 1"},
        peers={
            FAST: "trl trl_grpo.py BATCHES --new 64 --steps 1",
            DEFAULTS: "trl trl_grpo.py BATCHES --new 64 --steps 1 --defaults",
        },
        unit="updates",
        targets=(Target(OURS, FAST, 2.0),),
        check=Check("grpo BATCHES --precision fp32 --check", "trl trl_grpo.py BATCHES --precision fp32 --check", 2e-3),
    ),
}


def in_fp32(workload: Workload) -> Workload:
    """The same work with float32 on both sides, the faster one where the processor has no bfloat16 products.

    The peers' defaults, which are bf16, drop out.
    """

    def named(text: str) -> str:
        return text.replace("bf16", "fp32")

    def run(text: str) -> str:
        return named(text) if "--precision" in text else f"{text} --precision fp32"

    return Workload(
        named(workload.title),
        {named(label): run(text) for label, text in workload.ours.items()},
        {named(label): run(text) for label, text in workload.peers.items() if "--defaults" not in text},
        workload.unit,
        tuple(
            replace(each, ours=named(each.ours), peer=named(each.peer))
            for each in workload.targets
            if "defaults" not in each.peer
        ),
        workload.check,
    )


SMALLER = {"--steps 3": "--steps 1", "--steps 2": "--steps 1", "--new 64": "--new 16", "--new 48": "--new 16"}


def command(text: str, peer: bool) -> list[str]:
    """The process for one line of a workload; a peer's interpreter comes from its variable or from .peers/."""
    words = text.split()
    if not peer:
        return [sys.executable, str(HERE / "language_ours.py"), *words]
    name, script, *rest = words
    python = os.environ.get(PEERS[name], str(HERE.parent / ".peers" / name / "bin" / "python"))
    if not Path(python).exists():
        sys.exit(f"{python} not found: run benchmarks/peers/install.sh, or set {PEERS[name]} to the peer's Python")
    return [python, str(HERE / "peers" / script), *rest]


class Bench:
    """Runs processes on one file of batches."""

    def __init__(self, batches: Path, threads: int, quick: bool) -> None:
        self.batches, self.threads, self.quick = batches, threads, quick

    def line(self, words: list[str]) -> dict[str, Any]:
        """Run one process alone and read the last line that it prints."""
        count = str(self.threads)
        environment = os.environ | {
            "PYTHONPATH": str(HERE),
            "OMP_NUM_THREADS": count,
            "MKL_NUM_THREADS": count,
            "HF_HUB_OFFLINE": "1",
            "TOKENIZERS_PARALLELISM": "false",
        }
        process = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=TIMEOUT)
        if process.returncode:
            sys.exit(f"{' '.join(words)} failed:\n{process.stderr[-3000:]}")
        return json.loads(process.stdout.strip().splitlines()[-1])

    def measure(self, text: str, peer: bool, seed: int) -> dict[str, Any]:
        if self.quick:
            for more, less in SMALLER.items():
                text = text.replace(more, less)
        text = text.replace("BATCHES", str(self.batches))
        return self.line([*command(text, peer), "--seed", str(seed), "--threads", str(self.threads)])

    def checked(self, check: Check) -> dict[str, Any]:
        """Both sides in fp32, compared; ends the program where they differ."""
        ours, peer = self.measure(check.ours, False, FIRST_SEED), self.measure(check.peer, True, FIRST_SEED)
        found = differences(ours, peer)
        far = {name: value for name, value in found.items() if not value <= check.tolerance}
        said = ", ".join(f"{name} {value:.2g}" for name, value in found.items())
        print(f"  equal in fp32: largest differences: {said} (may be {check.tolerance:g})", flush=True)
        if far or not found:
            sys.exit(f"the two sides do not compute the same: {far or 'nothing was compared'}")
        return {"differences": found, "tolerance": check.tolerance}

    def run(self, workload: Workload, repeats: int) -> dict[str, list[dict[str, Any]]]:
        """Every side once per repeat, in alternating order, so that a machine that drifts drifts for all of them."""
        sides = [(label, text, False) for label, text in workload.ours.items()]
        sides += [(label, text, True) for label, text in workload.peers.items()]
        runs: dict[str, list[dict[str, Any]]] = {label: [] for label, _, _ in sides}
        for repeat in range(repeats):
            for label, text, peer in sides if repeat % 2 == 0 else sides[::-1]:
                begun = time.monotonic()
                found = self.measure(text, peer, FIRST_SEED + repeat)
                runs[label].append(found)
                print(
                    f"  {repeat + 1}/{repeats}  {label}: {found['seconds']:.1f} s, "
                    f"{found[workload.unit] / found['seconds']:.3g} {workload.unit}/s, "
                    f"{found['peak_rss_mb'] * 2**20 / 1e9:.2f} GB ({time.monotonic() - begun:.0f} s in all)",
                    flush=True,
                )
        return runs


def differences(ours: dict[str, Any], peer: dict[str, Any]) -> dict[str, float]:
    """The largest distance of everything that both sides print and that has to be equal."""
    if "written" in ours:
        return likeliest(ours, peer)
    found: dict[str, float] = {}
    if "losses" in ours:
        found["losses"] = largest(ours["losses"], peer["losses"])
    outputs = ours.get("outputs")
    if isinstance(outputs, dict):
        found |= {name: largest(values, peer["outputs"][name]) for name, values in outputs.items()}
    elif outputs is not None:
        found["scores"] = largest(outputs, peer["outputs"])
    return found


def largest(first: list[float], second: list[float]) -> float:
    return max(abs(a - b) for a, b in zip(first, second, strict=True))


def likeliest(ours: dict[str, Any], peer: dict[str, Any]) -> dict[str, float]:
    """Of greedy completions: the share that is not the same, and the log-probabilities up to where they part.

    Where two tokens are as good as equally likely the last bits decide, and what follows is another text.
    """
    apart, parted = 0.0, 0
    for own, other, own_log, other_log in zip(
        ours["written"], peer["written"], ours["log_probs"], peer["log_probs"], strict=True
    ):
        same = next((place for place, (a, b) in enumerate(zip(own, other, strict=True)) if a != b), len(own))
        parted += same < len(own)
        apart = max([apart, *(abs(a - b) for a, b in zip(own_log[:same], other_log[:same], strict=True))])
        if same < len(own):  # both must have been the likeliest
            apart = max(apart, abs(own_log[same] - other_log[same]))
    print(f"  greedy completions: {len(ours['written']) - parted} of {len(ours['written'])} are the same", flush=True)
    return {"log-probabilities": apart}


def versions(bench: Bench) -> dict[str, str]:
    """Of what was measured."""
    program = (
        "import json; from importlib.metadata import version, PackageNotFoundError as E\n"
        "def v(n):\n try: return version(n)\n except E: return None\n"
        "print(json.dumps({n: v(n) for n in ('torch', 'transformers', 'trl', 'accelerate')}))"
    )
    found: dict[str, str] = {}
    for name in ("", *PEERS):
        python = sys.executable if not name else command(f"{name} x", True)[0]
        each = bench.line([python, "-c", program])
        found[name or "plaudit"] = ", ".join(f"{key} {value}" for key, value in each.items() if value)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pairs", type=Path)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--only", nargs="+", choices=sorted(WORKLOADS))
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--quick", action="store_true", help="less work, and the committed table stays")
    parser.add_argument("--precision", choices=RESULTS, default="bf16", help="of both sides, at their fastest")
    parser.add_argument("--no-check", action="store_true", help="do not compare outputs (for trials)")
    options = parser.parse_args()
    file, workloads = RESULTS[options.precision], WORKLOADS
    if options.precision == "fp32":
        workloads = {name: in_fp32(each) for name, each in WORKLOADS.items() if name != "decode"}  # is decode-fp32
    chosen = options.only or list(workloads)
    if left := [name for name in chosen if name not in workloads]:
        parser.error(f"there is no {', '.join(left)} in {options.precision}: name others with --only")
    results = json.loads(file.read_text()) if file.exists() and not options.quick else {"workloads": {}}
    with tempfile.TemporaryDirectory() as folder:
        batches = Path(folder) / "batches.json"
        bench = Bench(batches, options.threads, options.quick)
        made = [sys.executable, str(HERE / "language_batches.py"), str(options.pairs), str(batches)]
        bench.line([*made])
        floor = [sys.executable, str(HERE / "language_floor.py"), "--threads", str(options.threads)]
        rates = bench.line(floor)
        results["machine"] = machine() | {"threads": options.threads, "versions": versions(bench)}
        results["work"], today = work(json.loads(batches.read_text())), date.today().isoformat()
        for name in chosen:
            workload = workloads[name]
            print(workload.title, flush=True)
            check = bench.checked(workload.check) if workload.check and not options.no_check else None
            runs = bench.run(workload, options.repeats)
            results["workloads"][name] = {"check": check, "runs": runs, "rates": rates, "date": today}
            if not options.quick:
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(json.dumps(results, indent=1) + "\n")
                file.with_suffix(".md").write_text(page(results, workloads))
    print(page(results, workloads))


def work(batches: dict[str, Any]) -> dict[str, Any]:
    """How many tokens each workload has, however a side lays them out."""
    found: dict[str, Any] = {}
    for name in ("reward", "dpo"):
        both = [(len(each["prompt"]), len(each["chosen"]), len(each["rejected"])) for each in batches[name]]
        rows = [both[place : place + 8] for place in range(0, len(both), 8)]
        found[name] = {
            "tokens": sum(2 * prompt + chosen + rejected for prompt, chosen, rejected in both),
            "shared": sum(map(sum, both)),
            "padded": sum(16 * max(p + max(c, r) for p, c, r in row) for row in rows),
            "predicted": sum(chosen + rejected for _, chosen, rejected in both),
        }
    documents = [each for step in batches["sft"] for row in step for each in row]
    found["sft"] = {
        "tokens": sum(len(each["prompt"]) + len(each["completion"]) for each in documents),
        "predicted": sum(len(each["completion"]) for each in documents),
    }
    return found


if __name__ == "__main__":
    main()
