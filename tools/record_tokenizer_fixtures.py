"""Copies recorded tokenizer results into tests/data/tokenizers, compressed.

    python tools/record_tokenizer_fixtures.py FOLDER

FOLDER holds what Transformers 4.34.0 answered: `tokenizers/` (calls, strings, settings, saved folders,
tables), `reader_tokenizer/`, `api/` (signatures) and `checkpoints/` (v5 folders, the tiny vocabulary).
Texts are kept, white space of the JSON is not.
"""

from __future__ import annotations

import argparse
import gzip
import json
import pathlib

TARGET = pathlib.Path(__file__).parent.parent / "tests" / "data" / "tokenizers"

# name under tests/data/tokenizers -> file under FOLDER
RECORDINGS = {
    "batch_encoding": "tokenizers/batch_encoding.json",
    "loading": "tokenizers/loading.json",
    "options": "tokenizers/options.json",
    "reader": "reader_tokenizer/encode.json",
    "reader_tensors": "reader_tokenizer/tensors.json",
    "saving": "tokenizers/saving.json",
    "sequences": "tokenizers/sequences.json",
    "settings": "tokenizers/settings.json",
    "spans": "reader_tokenizer/decode_best_spans.json",
    "strings": "tokenizers/strings.json",
    "tensors": "tokenizers/tensors.json",
    "v5": "tokenizers/v5.json",
}
# Folders whose tokenizer files are kept; weights are not.
FOLDERS = ("tokenizers/saved/*", "checkpoints/v5/*", "checkpoints/tiny_vocab")
TOKENIZER_FILES = (
    "added_tokens.json",
    "note.txt",
    "special_tokens_map.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.txt",
)


def compress(name: str, content: bytes) -> None:
    """Writes `content` as TARGET/name, the same bytes for the same content."""
    (TARGET / name).write_bytes(gzip.compress(content, compresslevel=9, mtime=0))


def as_bytes(content) -> bytes:
    """Compact JSON; lone surrogates stay as escapes."""
    return json.dumps(content, separators=(",", ":")).encode()


def saved_folders(source: pathlib.Path) -> dict[str, dict[str, str]]:
    """{folder: {file name: text}} of every saved tokenizer."""
    folders: dict[str, dict[str, str]] = {}
    for pattern in FOLDERS:
        for folder in sorted(source.glob(pattern)):
            files = {name: folder / name for name in TOKENIZER_FILES if (folder / name).is_file()}
            if files:
                texts = {name: path.read_bytes().decode("utf-8") for name, path in files.items()}
                folders[folder.relative_to(source).as_posix()] = texts
    return folders


def signatures(source: pathlib.Path) -> dict[str, dict]:
    """Of the six classes: public names, and parameters (name, kind, default as text) of the methods."""
    recorded = json.loads((source / "api/signatures.json").read_text(encoding="utf-8"))
    found = {}
    for name, entry in recorded["classes"].items():
        if entry["group"] == "tokenizers" and name.startswith("DPR"):
            methods = {method: recorded["methods"][key] for method, key in entry["methods"].items()}
            parameters = {
                method: [[p["name"], p["kind"], p.get("default")] for p in about["parameters"]]
                for method, about in methods.items()
            }
            found[name] = {"public_names": entry["public_names"], "methods": parameters}
    return found


def main() -> None:
    """Reads FOLDER, writes TARGET."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=pathlib.Path, help="the folder of recordings")
    source = parser.parse_args().folder
    TARGET.mkdir(parents=True, exist_ok=True)
    versions = {}
    for name, path in RECORDINGS.items():
        content = json.loads((source / path).read_text(encoding="utf-8"))
        versions[name] = content.get("versions")
        compress(f"{name}.json.gz", as_bytes(content))
    compress("signatures.json.gz", as_bytes(signatures(source)))
    compress("folders.json.gz", as_bytes(saved_folders(source)))
    compress("vocab.txt.gz", (source / "tokenizers/vocab.txt").read_bytes())
    (TARGET / "unicode.npz").write_bytes((source / "tokenizers/unicode.npz").read_bytes())
    note = {
        "written_by": "tools/record_tokenizer_fixtures.py",
        "versions": {name: value for name, value in versions.items() if value},
        "otherwise": {"transformers": "4.34.0", "tokenizers": "0.14.1", "unicodedata": "14.0.0"},
    }
    (TARGET / "versions.json").write_text(json.dumps(note, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    print(f"{sum(path.stat().st_size for path in TARGET.iterdir()):,} bytes in {TARGET}")


if __name__ == "__main__":
    main()
