"""The command line: what it prints, and how it ends."""

import gzip
import json
import os
import re
import subprocess
import sys
import warnings

import pytest
from small_words import save_checkpoints

import dpr_tf
from dpr_tf import answering, cli
from dpr_tf.checkpoints import ROLES
from dpr_tf.cli.commands import COMMANDS

PASSAGES = """id\ttext\ttitle
7\tThe old bridge over the river was built of stone.\tBridge
8\t"Emile Zola was in Paris, by the ""red"" tower."\tZola
9\tThe king and the queen.\t
"""


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory):
    return save_checkpoints(tmp_path_factory.mktemp("checkpoints"))


@pytest.fixture
def passages(tmp_path):
    path = tmp_path / "passages.tsv"
    path.write_text(PASSAGES)
    return path


def run(capsys, *arguments):
    """Exit code, stdout, stderr."""
    try:
        code = cli.main([str(argument) for argument in arguments])
    except SystemExit as exit_:
        code = exit_.code
    return (code, *capsys.readouterr())


def test_ask_prints_the_answer_in_its_passage(capsys, checkpoints, passages):
    code, out, err = run(capsys, "ask", "who was it?", "--passages", passages, "--pretrained", checkpoints)
    assert code == 0
    assert "Embedding passages: 100%" in err
    (answer,) = re.findall("^A  (.*)$", out, flags=re.MULTILINE)
    assert f"**{answer}**" in " ".join(out.split())
    assert "3 passages retrieved in" in out


def test_ask_json_has_answers_passages_and_their_scores(capsys, checkpoints, passages):
    names = [checkpoints / role for role in ROLES]
    arguments = ("--passages", passages, "--k", 2, "--answers", 2, "--json", "--pretrained", *names)
    code, out, _ = run(capsys, "ask", "who was it?", *arguments)
    assert code == 0
    found = json.loads(out)
    assert found["question"] == "who was it?"
    assert [scored["rank"] for scored in found["passages"]] == [1, 2]
    assert len(found["answers"]) == 2
    for answer in found["answers"]:
        assert answer["passage"]["text"][answer["start"] : answer["end"]] == answer["text"] != ""
        assert answer["passage"] == found["passages"][answer["retrieval_rank"] - 1]["passage"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "the following arguments are required: COMMAND"),
        (["sing"], "invalid choice: 'sing'"),
        (["ask"], "the following arguments are required: QUESTION"),
        (
            ["ask", "--pretrained", "a", "who?"],
            "--pretrained takes all values behind it, so that it comes last",
        ),
        (["ask", " "], "the question is empty"),
        (["ask", ""], "the question is empty"),
        (["ask", "who?", "--k", "0"], "k and answers must be at least 1, got 0 and 1"),
        (
            ["ask", "who?", "--answers", "all"],
            "argument --answers: expected a whole number of at least 0, got 'all'",
        ),
        (["ask", "who?", "--passages", "absent.tsv"], "absent.tsv: No such file or directory"),
        (["ask", "who?", "--passages", "broken.tsv"], "broken.tsv, line 2: expected 3 fields"),
        (["ask", "who?", "--passages", "empty.tsv"], "there are no passages to answer from"),
        (["ask", "who?", "--passages", "good.tsv", "--pretrained", "a", "b"], "expected three checkpoints"),
        (["ask", "who?", "--passages", "good.tsv", "--pretrained", "./nowhere"], "nowhere"),
        (["validate"], "the following arguments are required: FILES"),
        (["validate", "absent.tsv"], "absent.tsv: No such file or directory"),
        (["validate", "good.tsv", "--kind", "csv"], "kind: expected one of passages, questions"),
        (["split", "good.tsv"], "the following arguments are required: TARGET"),
        (["split", "good.tsv", "good.tsv"], "the passages would replace the articles"),
        (["split", "good.tsv", "out.tsv", "--words", "0"], "a passage needs at least 1 word, got 0"),
        (["evaluate", "absent.json"], "absent.json: No such file or directory"),
        (["evaluate", "empty.json"], "empty.json: there are no questions to evaluate"),
        (
            ["evaluate", "empty.json", "--match", "fuzzy"],
            "argument --match: expected one of string, regex, got 'fuzzy'",
        ),
        (["evaluate", "absent.run", "--qrels", "absent.qrels"], "No such file or directory"),
        (["mine", "absent.json", "out.json"], "absent.json: No such file or directory"),
        (["mine", "empty.json", "out.json", "--skip", "-1"], "expected a whole number of at least 0"),
        (
            ["retrieve", "absent.tsv", "out.json", "--passages", "good.tsv", "--bm25"],
            "absent.tsv: No such file",
        ),
        (["retrieve", "good.tsv", "out.json", "--passages", "good.tsv"], "nothing to search with"),
        (["answer", "empty.json", "out.json", "--reader", "a"], "empty.json: there are no questions"),
        (["answer", "empty.json", "out.json", "--reader", "a", "--k", "0"], "must be at least 1"),
        (["convert", "./nowhere", "new"], "nowhere"),
        (["convert", "./nowhere", "new", "--role", "bert"], "--role: expected one of context_encoder"),
        (["export", "./nowhere", "new"], "nowhere"),
        (["train-biencoder", "absent.json", "trained", "--bert", "./nowhere"], "nowhere"),
        (["train-biencoder", "absent.json", "trained"], "bert"),
        (["train-reader", "./nowhere", "empty.json", "reader"], "nowhere"),
        (["train-reader", "./nowhere", "empty.json"], "the following arguments are required: RETRIEVED"),
        (["embed", "absent.tsv", "folder", "vectors"], "absent.tsv: No such file"),
        (["embed", "good.tsv", "folder", "vectors", "--batch-size", "0"], "batch_size"),
        (["index", "absent", "index"], "absent"),
        (["doctor", "now"], "unrecognized arguments: now"),
        (["split", "good.tsv", "out.tsv", "--config", "absent.yaml"], "absent.yaml: No such file"),
    ],
)
def test_a_mistake_ends_in_one_line_and_exit_code_2(capsys, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "good.tsv").write_text(PASSAGES)
    (tmp_path / "broken.tsv").write_text("id\ttext\ttitle\n1\tText.\n")
    (tmp_path / "empty.tsv").write_text("id\ttext\ttitle\n")
    (tmp_path / "empty.json").write_text("[]")
    code, out, err = run(capsys, *arguments)
    assert (code, out) == (2, "")
    assert err.startswith("dpr-tf")
    assert "error: " in err
    assert message in err
    assert err.count("\n") == 1


def test_split_and_validate(capsys, tmp_path):
    articles, passages = tmp_path / "articles.jsonl", tmp_path / "passages.tsv.gz"
    articles.write_text('{"title": "Zola", "text": "one two three four five"}\n')
    assert run(capsys, "split", articles, passages, "--words", 2) == (
        0,
        f"{passages}: articles: 1, passages: 3\n",
        "",
    )
    assert run(capsys, "validate", passages)[:2] == (0, f"{passages}: passages, records: 3, faults: 0\n")
    code, out, _ = run(capsys, "split", articles, passages, "--words", 2, "--fill-last", "--json")
    assert (code, json.loads(out)) == (0, {"articles": 1, "passages": 3})
    with gzip.open(passages, "rt") as file:
        assert file.readlines()[-1] == "3\tfive one\tZola\n"


def test_validate_lists_faults_and_exits_1(capsys, tmp_path, passages):
    faulty = tmp_path / "faulty.tsv"
    faulty.write_text("id\ttext\n1\t\n2\t\n")
    code, out, err = run(capsys, "validate", passages, faulty, "--faults", 1)
    assert (code, err) == (1, "")
    assert out.splitlines() == [
        f"{passages}: passages, records: 3, faults: 0",
        f"{faulty}, line 2, text: is empty; remove the record, or fill it in",
        f"{faulty}: and 1 more",
        f"{faulty}: passages, records: 2, faults: 2",
    ]
    code, out, _ = run(capsys, "validate", faulty, "--json", "--kind", "passages")
    (report,) = json.loads(out)
    assert code == 1
    assert (report["records"], report["fault_count"]) == (2, 2)
    assert report["faults"][1] == {
        "line": 3,
        "field": "text",
        "message": "is empty; remove the record, or fill it in",
    }


def test_checkpoints_in_the_wrong_order_are_a_mistake(capsys, checkpoints, passages):
    names = [checkpoints / role for role in ("question_encoder", "context_encoder", "reader")]
    code, _, err = run(capsys, "ask", "who?", "--passages", passages, "--pretrained", *names)
    assert code == 2
    assert "TFDPRQuestionEncoder" in err


FOUND = [
    {
        "question": "where?",
        "answers": ["Paris"],
        "ctxs": [{"id": "1", "text": "No."}, {"id": "2", "text": "In Paris."}],
    },
    {"question": "when?", "answers": ["1889"], "ctxs": [{"id": "3", "text": "In 1889."}]},
]


def test_evaluate(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "found.json").write_text(json.dumps(FOUND))
    code, out, err = run(capsys, "evaluate", "found.json", "--k", 1, 2)
    assert (code, err) == (0, "")
    assert [line.split()[0] for line in out.splitlines()[1:5]] == ["questions", "top-1", "top-2", "MRR"]
    code, out, _ = run(capsys, "evaluate", "found.json", "--json")
    assert code == 0
    (shown,) = json.loads(out)["files"]
    assert shown["accuracy_by_k"] == [0.5, 1.0]
    (tmp_path / "run").write_text("q Q0 a 1 2.0 t\n")
    (tmp_path / "qrels").write_text("q 0 a 1\n")
    code, out, _ = run(capsys, "evaluate", "run", "--qrels", "qrels", "--measures", "RR@10", "--json")
    assert json.loads(out)["files"][0]["measures"]["RR@10"]["mean"] == 1.0


def test_mine(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "found.json").write_text(json.dumps(FOUND))
    code, out, err = run(capsys, "mine", "found.json", "mined.json")
    assert (code, err) == (0, "")
    assert "mined.json: 2 examples of 2 questions" in out
    (where, _) = json.loads((tmp_path / "mined.json").read_text())
    assert [passage["text"] for passage in where["hard_negative_ctxs"]] == ["No."]
    code, out, _ = run(capsys, "mine", "found.json", "mined.json", "--json", "--skip", 5)
    assert json.loads(out)["without_hard_negative"] == 2


def test_an_extra_that_is_not_installed_is_a_mistake(capsys, tmp_path, monkeypatch):
    (tmp_path / "found.json").write_text(json.dumps(FOUND))
    monkeypatch.setitem(sys.modules, "regex", None)
    code, _, err = run(capsys, "evaluate", tmp_path / "found.json", "--match", "regex")
    assert code == 2
    assert err.count("\n") == 1
    assert 'pip install "dpr_tf[evaluation]"' in err


def test_ctrl_c_exits_130(capsys, monkeypatch, passages):
    def interrupt(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(answering.QuestionAnswering, "from_pretrained", interrupt)
    code, out, err = run(capsys, "ask", "who?", "--passages", passages)
    assert (code, out, err) == (130, "", "\n")


def test_output_that_nobody_reads_is_no_error(checkpoints, passages):
    command = [
        sys.executable,
        "-m",
        "dpr_tf",
        "ask",
        "who?",
        "--passages",
        str(passages),
        "--pretrained",
        str(checkpoints),
    ]
    reading, writing = os.pipe()
    os.close(reading)
    process = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writing)
    assert process.returncode == 1
    assert "Error" not in process.stderr


def test_a_bug_keeps_its_traceback(monkeypatch, passages):
    def fail(*arguments, **options):
        raise AssertionError("a bug")

    monkeypatch.setattr(answering.QuestionAnswering, "from_pretrained", fail)
    with pytest.raises(AssertionError, match="a bug"):
        cli.main(["ask", "who?", "--passages", str(passages)])


# For each command, what it cannot do without.
NEEDED = {
    "demo": [],
    "ask": ["who?"],
    "validate": ["a.tsv", "b.tsv"],
    "split": ["articles", "passages.tsv"],
    "mine": ["found.json", "mined.json"],
    "train-biencoder": ["one.json", "two.json", "trained"],
    "train-reader": ["folder", "found.json", "more.json", "reader"],
    "embed": ["passages.tsv", "folder", "vectors"],
    "index": ["vectors", "index"],
    "retrieve": ["questions.tsv", "found.json", "--passages", "passages.tsv"],
    "answer": ["found.json", "answers.json", "--reader", "folder"],
    "evaluate": ["found.json"],
    "convert": ["old", "new"],
    "export": ["folder", "model/1"],
    "doctor": [],
}


def test_every_command_is_here():
    assert set(NEEDED) == set(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_the_configuration_that_is_printed_is_accepted(capsys, tmp_path, command):
    code, printed, err = run(capsys, command, *NEEDED[command], "--print_config")
    assert (code, err) == (0, "")
    (tmp_path / "options.yaml").write_text(printed or "{}")
    again = run(capsys, command, "--config", tmp_path / "options.yaml", "--print-config")
    assert again == (0, printed, "")


@pytest.mark.parametrize("command", [command for command in COMMANDS if NEEDED[command]])
def test_what_a_command_cannot_do_without_is_named(capsys, command):
    code, out, err = run(capsys, command)
    assert (code, out) == (2, "")
    assert err.startswith(f"dpr-tf {command}: error: the following arguments are required: ")
    assert err.count("\n") == 1


def test_options_come_from_a_file_and_the_command_line_comes_first(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "articles.txt").write_text("one two three four five")
    (tmp_path / "options.yaml").write_text("source: articles.txt\ntarget: out.tsv\nwords: 2\n")
    assert run(capsys, "split", "--config", "options.yaml")[1] == "out.tsv: articles: 1, passages: 3\n"
    code, out, _ = run(capsys, "split", "--config=options.yaml", "--words", 4, "--fill_last")
    assert out == "out.tsv: articles: 1, passages: 2\n"
    assert (tmp_path / "out.tsv").read_text().endswith("2\tfive one two three\tarticles\n")
    (tmp_path / "options.yaml").write_text("word: 2\n")
    code, _, err = run(capsys, "split", "--config", "options.yaml")
    assert code == 2
    assert (
        err == "dpr-tf split: error: options.yaml: unknown option 'word'; expected source, target, words, "
        "fill_last\n"
    )


@pytest.mark.parametrize(
    ("where", "arguments"),
    [
        ("dpr_tf.data.split.split_words", ["split", "articles.txt", "out.tsv"]),
        ("dpr_tf.retrieval.mining.mine_passages", ["mine", "found.json", "mined.json"]),
    ],
)
def test_ctrl_c_leaves_files_whole(capsys, tmp_path, monkeypatch, where, arguments):
    def interrupt(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.chdir(tmp_path)
    (tmp_path / "articles.txt").write_text("one two")
    (tmp_path / "found.json").write_text(json.dumps(FOUND))
    (tmp_path / arguments[2]).write_text("of before")
    before = sorted(path.name for path in tmp_path.iterdir())
    monkeypatch.setattr(where, interrupt)
    assert run(capsys, *arguments) == (130, "", "\n")
    assert sorted(path.name for path in tmp_path.iterdir()) == before
    assert (tmp_path / arguments[2]).read_text() == "of before"


def test_a_warning_is_told_in_one_line(capsys, monkeypatch, tmp_path):
    def warn(*arguments, **options):
        warnings.simplefilter("always")
        warnings.warn("two\nlines", stacklevel=1)
        return iter(())

    # Not by its dotted name, which is that of the function `validate` too.
    monkeypatch.setattr(sys.modules["dpr_tf.data.validate"], "validate_files", warn)
    assert run(capsys, "validate", "a.tsv") == (0, "", "dpr-tf validate: warning: two lines\n")


def test_convert_and_export_by_the_command_line(capsys, checkpoints, tmp_path):
    reader = checkpoints / "reader"
    code, out, err = run(capsys, "convert", reader, tmp_path / "new", "--format", "h5", "--json")
    assert (code, err) == (0, "")
    assert json.loads(out)["role"] == "reader"
    code, out, err = run(capsys, "convert", reader, tmp_path / "new")
    assert (code, out) == (2, "")
    assert err.endswith("new exists and is not an empty folder; name a new folder\n")
    code, _, err = run(capsys, "export", checkpoints / "reader" / "config.json", tmp_path / "model")
    assert (code, err.count("\n")) == (2, 1)


HELP = """
import sys
from dpr_tf import cli
for arguments in [["--version"], ["--help"], *([command, "--help"] for command in cli.COMMANDS)]:
    try: cli.main(arguments)
    except SystemExit as exit_: assert exit_.code == 0, arguments
    loaded = {"tensorflow", "keras", "torch"} | ({"numpy", "tqdm", "yaml"} if len(arguments) == 1 else set())
    assert not loaded & set(sys.modules), (arguments, loaded & set(sys.modules))
"""


def test_help_of_every_command_is_fast(capsys):
    done = subprocess.run([sys.executable, "-c", HELP], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    shown = done.stdout
    assert shown.startswith(f"dpr-tf {dpr_tf.__version__}\nusage: dpr-tf [-h]")
    for command in COMMANDS:
        assert f"usage: dpr-tf {command} " in shown
