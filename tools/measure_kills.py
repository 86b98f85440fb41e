"""Kills a bi-encoder's training at random moments until it is done, and compares it with an undisturbed run.

    python tools/measure_kills.py --kills 20

Trains small encoders, with dropout, on random words. Every process is killed with SIGKILL at a random moment
of its life, whatever it is doing: reading, tracing, an update, validation, saving a state or a checkpoint.
The two runs have to end with the same weights, tokenizers and log, byte for byte.
"""

from __future__ import annotations

import argparse
import hashlib
import multiprocessing
import os
import random
import sys
import tempfile
import time
from pathlib import Path

from dpr_tf import sample_folder
from dpr_tf.data import Example, ExamplePassage, write_examples

MODULES = ["dpr_tf.training.biencoder_recipe", "tensorflow", "keras"]


def make_encoders(folder: str) -> None:
    """Writes random encoders of one layer, with the sample's tokenizers."""
    import keras

    from dpr_tf import DPRConfig
    from dpr_tf.checkpoints import classes

    keras.utils.set_random_seed(1)
    for role in ("question_encoder", "context_encoder"):
        model_class, tokenizer_class = classes(role)
        tokenizer = tokenizer_class.from_pretrained(sample_folder() / role)
        config = DPRConfig(
            vocab_size=len(tokenizer),
            hidden_size=32,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=64,
            max_position_embeddings=40,
        )
        model_class(config).save_pretrained(f"{folder}/{role}")
        tokenizer.save_pretrained(f"{folder}/{role}")


def make_examples(path: Path, count: int = 60) -> None:
    """Writes questions of random words, with passages that share some of them."""
    words = [f"{a}{b}" for a in ("ka", "lo", "mi", "nu", "re") for b in ("ta", "so", "vi", "pu", "de")]
    draw = random.Random(2)

    def passage(shared: list[str]) -> ExamplePassage:
        return ExamplePassage("", draw.choice(words), " ".join([*shared, *draw.choices(words, k=8)]))

    def example() -> Example:
        question = draw.choices(words, k=5)
        return Example(" ".join(question), (), (passage(question[:4]),), (passage(question[:1]),))

    write_examples(path, (example() for _ in range(count)))


def train(folder: str, output: str) -> None:
    """Trains, from the last state if there is one."""
    sys.stdout = sys.stderr = open(os.devnull, "w")  # noqa: SIM115
    from dpr_tf.training.biencoder_recipe import train_biencoder

    train_biencoder(
        [f"{folder}/examples.json"],
        f"{folder}/{output}",
        question_encoder=f"{folder}/question_encoder",
        context_encoder=f"{folder}/context_encoder",
        dev=[f"{folder}/examples.json"],
        batch_size=8,
        epochs=12,
        learning_rate=1e-3,
        save_every=1,
    )


def files(folder: Path) -> dict[str, str]:
    """Digests of what a run leaves, hidden files included."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def difference(whole: Path, cut: Path) -> str:
    """Which files two runs do not have alike."""
    one, other = files(whole), files(cut)
    differing = sorted(name for name in {*one, *other} if one.get(name) != other.get(name))
    if differing:
        raise SystemExit(f"{cut} differs from the undisturbed run in {', '.join(differing)}")
    return f"{len(one)} files as those of the undisturbed run"


def main() -> None:
    """Prints each kill, and whether both runs ended alike."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    moments = random.Random(options.seed)
    server = multiprocessing.get_context("forkserver")  # has imported TensorFlow when a process begins
    server.set_forkserver_preload(MODULES)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)

        def run(function, *arguments: str, seconds: float | None = None) -> float | None:
            """Runs in a process of its own; its exit code, None if it was killed."""
            process = server.Process(target=function, args=(temporary, *arguments))
            process.start()
            process.join(seconds)
            killed = process.is_alive()
            process.kill()
            process.join()
            return None if killed else process.exitcode

        make_examples(folder / "examples.json")
        run(make_encoders)
        begun = time.monotonic()
        if run(train, "whole"):
            raise SystemExit("the undisturbed run failed")
        whole = time.monotonic() - begun
        print(f"undisturbed: {whole:.1f} s", flush=True)
        output, kills, runs = "cut1", 0, 1
        while kills < options.kills:
            after = moments.uniform(0.1, 1.0) * whole
            if run(train, output, seconds=after) is not None:
                print(f"{output} is done: {difference(folder / 'whole', folder / output)}", flush=True)
                runs += 1
                output = f"cut{runs}"
                continue
            kills += 1
            log = folder / output / "training.jsonl"
            epochs = len(log.read_text().splitlines()) if log.exists() else 0
            print(f"kill {kills} after {after:.1f} s, {output} has {epochs} epochs", flush=True)
        if run(train, output):
            raise SystemExit(f"{output} could not go on")
        print(f"{output} is done: {difference(folder / 'whole', folder / output)}")


if __name__ == "__main__":
    main()
