"""From checkpoints to variables and back, over every recorded checkpoint."""

import re
import warnings

import checkpoint_archive
import ml_dtypes
import numpy as np
import pytest

from dpr_tf.weights import convert, files, names
from dpr_tf.weights.arrays import Checkpoint, CheckpointError, LazyArray

INDEX = checkpoint_archive.index()
SOUND = [entry for entry in INDEX if "weights" in entry]


def identify(entry):
    return entry["path"].removeprefix("checkpoints/") + "#" + entry["kind"]


def values(variables):
    return {path: variable.value for path, variable in variables.items()}


def untouched(variables):
    return all(variable.assigned == 0 and (variable.value == -77).all() for variable in variables.values())


def memory(arrays, path="memory"):
    """A checkpoint of arrays."""
    return Checkpoint(
        path,
        {
            key: LazyArray(array.shape, array.dtype, lambda array=array: array)
            for key, array in arrays.items()
        },
    )


@pytest.fixture(scope="module")
def loaded(build):
    """Loads a checkpoint of the index, without warnings, and keeps the first of each set of weights."""
    first = {}

    def load(entry):
        path = checkpoint_archive.root() / entry["path"]
        rows, variables = build(path, entry["kind"])
        report = convert.load_into(variables, rows, files.read_checkpoint(path))
        return report, variables, first.setdefault(entry["weights"], values(variables))

    return load


@pytest.mark.parametrize("entry", SOUND, ids=identify)
def test_sound_checkpoints_load_and_equal_weights_are_equal(entry, loaded):
    report, variables, first = loaded(entry)
    assert report.loaded == len(variables) == len(first)
    assert (report.missing, report.unexpected, report.mismatched, report.initialised) == ((), (), (), ())
    for path, variable in variables.items():
        assert variable.assigned == 1
        np.testing.assert_array_equal(variable.value, first[path])
    if entry.get("unexpected") and "-repo" not in entry["path"]:  # of a -repo folder ours takes the .h5
        assert report.loading_info()["unexpected_keys"] == entry["unexpected"]


def test_the_recordings_are_complete():
    assert len(SOUND) == 88
    assert sum(entry["family"] == "bad" for entry in INDEX) == 64


def reference(recorded, kind, dtype=""):
    """The weights of formats/, read by the simplest means."""
    path = recorded(f"formats/{kind}-safetensors{dtype}")
    return {key: array.read() for key, array in files.read_checkpoint(path).items()}


@pytest.mark.parametrize("kind", ["ctx", "question", "reader"])
@pytest.mark.parametrize(("dtype", "bits"), [("-fp16", 11), ("-bf16", 8)])
def test_half_precision_is_the_rounded_original(kind, dtype, bits, recorded, build):
    rows, variables = build(recorded(f"formats/{kind}-bin{dtype}"), kind)
    convert.load_into(variables, rows, files.read_checkpoint(recorded(f"formats/{kind}-bin{dtype}")))
    exact = reference(recorded, kind)
    for row in rows:
        wanted = exact[row.torch].T if row.op == names.TRANSPOSE else exact[row.torch]
        found = variables[row.keras].value
        assert found.dtype == np.float32
        # half a unit in the last of `bits` places, or half a step of float16's smallest numbers
        assert (np.abs(found - wanted) <= np.abs(wanted) * 2.0**-bits + 2.0**-25).all()
        assert not np.array_equal(found, wanted) or wanted.size < 3


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
def test_variables_of_other_dtypes(dtype, recorded, build):
    rows, variables = build(recorded("formats/ctx-safetensors"), "ctx", dtype)
    convert.load_into(variables, rows, files.read_checkpoint(recorded("formats/ctx-safetensors")))
    exact = reference(recorded, "ctx")
    for row in rows:
        wanted = exact[row.torch].T if row.op == names.TRANSPOSE else exact[row.torch]
        np.testing.assert_array_equal(
            variables[row.keras].value, wanted.astype(variables[row.keras].value.dtype)
        )


# What must not load. The text that each message must contain; nothing is assigned.
KEY = "question_encoder.bert_model.encoder.layer.0.intermediate.dense.weight"
HEADS = "span_predictor.qa_outputs"
REFUSED = {
    "truncated-bin-zip-half": "damaged or cut off",
    "truncated-bin-zip-tail": "damaged or cut off",
    "truncated-bin-legacy-half": "cut off",
    "truncated-bin-legacy-tail": "cut off",
    "truncated-safetensors-header": "cut off",
    "truncated-safetensors-data": "cut off",
    "truncated-safetensors-8bytes": "cut off",
    "truncated-safetensors-empty": "cut off",
    "safetensors-huge-header": "header of 1099511627776 bytes",
    "safetensors-header-not-json": "no JSON",
    "safetensors-offset-outside": "damaged",
    "safetensors-shape-lies": "needs 1536 bytes",
    "truncated-h5": "cut off",
    "not-h5": "not an HDF5 file",
    "lfs-pointer-bin": "git lfs pull",
    "lfs-pointer-safetensors": "git lfs pull",
    "wrong-shape": "checkpoint (24, 16), model (23, 16); intermediate_size in config.json is 23, here 24",
    "wrong-shape-bin": "checkpoint (24, 16), model (23, 16); intermediate_size in config.json is 23, here 24",
    "wrong-shape-transposed": "checkpoint (16, 23), model (23, 16); it is stored transposed",
    "wrong-shape-transposed-bin": "checkpoint (16, 23), model (23, 16); it is stored transposed",
    "missing-key": f"1 weight is missing:\n  {KEY}\n",
    "missing-key-bin": f"1 weight is missing:\n  {KEY}\n",
    "missing-bias": f"2 weights are missing:\n  {HEADS}.bias\n  {HEADS}.weight\n",
    "missing-bias-bin": f"2 weights are missing:\n  {HEADS}.bias\n  {HEADS}.weight\n",
    "int-weights": f"1 weight is not of floating point:\n  {KEY}: int64",
    "vocab-size-mismatch": "vocab_size in config.json is 153, here 150",
    "wrong-kind": "this is a question encoder checkpoint: use TFDPRQuestionEncoder",
    "plain-bert": "Nothing was loaded. Use TFDPRContextEncoder.init_from_bert",
    "shard-missing": "pytorch_model-00002-of-00004.bin",
    "shard-index-escapes": "refused: shards that are not plain file names",
    "shard-index-invalid": "not JSON",
    "shard-key-absent": "bert_model.embeddings.LayerNorm.bias in model-00001-of-00004.safetensors",
    "config-only": "no weights",
    "empty-folder": "no weights",
    "config-missing-fields": "22 weights are of another shape",
    "reader-proj-not-hidden": "heads made for projected ones run nowhere",
    "hostile-os-system-zip": "'posix.system'",
    "hostile-os-system-legacy": "'posix.system'",
    "hostile-exec-zip": "'__builtin__.exec'",
    "hostile-exec-legacy": "'__builtin__.exec'",
    "hostile-popen-zip": "'commands.Popen'",
    "hostile-popen-legacy": "'commands.Popen'",
    "hostile-dotted-global": "'torch.serialization.os.system'",
    "hostile-original": "'posix.system'",
    "hostile-zip-bomb-name": "not one that torch.save wrote",
}
# Whose weights are sound: loaded, with the warning that is given.
ACCEPTED = {
    "safetensors-no-metadata": None,
    "safetensors-unknown-format": None,
    "extra-key": "the model has no place for them: question_encoder.bert_model.surprise.weight",
    "nan-weights": "infinite numbers in question_encoder.bert_model.embeddings.word_embeddings.weight, q",
    "double-weights": None,
}


def test_each_bad_checkpoint_is_refused_or_accepted_here_or_is_bad_in_its_configuration_only():
    bad = {entry["path"].split("/")[-1] for entry in INDEX if entry["family"] == "bad"}
    others = bad - REFUSED.keys() - ACCEPTED.keys()
    assert others == {name for name in bad if name.startswith(("config-", "no-config"))} - REFUSED.keys()


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name, recorded, build, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    entry = next(entry for entry in INDEX if entry["path"].endswith(f"/{name}"))
    path = recorded(f"bad/{name}")
    if name == "empty-folder":
        rows, variables = build(recorded("bad/control-question"), "question")
    else:
        rows, variables = build(path, entry["kind"])
    with pytest.raises((CheckpointError, FileNotFoundError, ValueError)) as error:
        convert.load_into(
            variables, rows, files.read_checkpoint(path / "checkpoint.cp" if "original" in name else path)
        )
    assert REFUSED[name] in str(error.value)
    assert str(path) in str(error.value)
    assert untouched(variables)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ACCEPTED)
def test_accepted(name, recorded, build):
    rows, variables = build(recorded(f"bad/{name}"), "question")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        report = convert.load_into(variables, rows, files.read_checkpoint(recorded(f"bad/{name}")))
    assert report.loaded == len(rows)
    assert len(caught) == (ACCEPTED[name] is not None)
    assert all(ACCEPTED[name] in str(warning.message) for warning in caught)
    assert report.unexpected == (
        ("question_encoder.bert_model.surprise.weight",) if name == "extra-key" else ()
    )


def test_extra_weights_warn_before_anything_is_assigned(recorded, build):
    rows, variables = build(recorded("bad/extra-key"), "question")
    with pytest.raises(UserWarning, match="surprise"):
        convert.load_into(variables, rows, files.read_checkpoint(recorded("bad/extra-key")))
    assert untouched(variables)


# Roles


@pytest.mark.parametrize(
    ("path", "kind", "message"),
    [
        ("formats/ctx-safetensors", "question", "a context encoder checkpoint: use TFDPRContextEncoder"),
        ("formats/ctx-h5", "question", "a context encoder checkpoint: use TFDPRContextEncoder"),
        ("formats/reader-bin-zip", "ctx", "a reader checkpoint: use TFDPRReader"),
        ("formats/question-bin-zip", "reader", "a question encoder checkpoint: use TFDPRQuestionEncoder"),
        ("formats/ctx-bin-noprefix", "reader", "use TFDPRContextEncoder or TFDPRQuestionEncoder"),
        ("formats/reader-bin-noprefix", "question", "a reader checkpoint: use TFDPRReader"),
        ("original/biencoder-dict-legacy/checkpoint.cp", "reader", "a bi-encoder checkpoint: use TFDPR"),
        ("original/reader-dict-legacy/checkpoint.cp", "ctx", "a reader checkpoint: use TFDPRReader"),
        ("bad/plain-bert", "reader", "plain BERT checkpoint.*TFDPRReader.init_from_bert"),
    ],
)
def test_role_mix_ups_name_the_class_to_use(path, kind, message, recorded, build):
    rows, variables = build(recorded(f"formats/{kind}-safetensors"), kind)
    with pytest.raises(ValueError, match=message):
        convert.load_into(variables, rows, files.read_checkpoint(recorded(path)))
    assert untouched(variables)


def test_keys_of_no_known_dialect(recorded, build):
    rows, variables = build(recorded("formats/ctx-safetensors"), "ctx")
    strange = memory(
        {"roberta.embeddings.x": np.zeros(3, np.float32), "lm_head.bias": np.zeros(2, np.float32)}
    )
    with pytest.raises(
        ValueError, match=r"no DPR checkpoint.*2 weights, e\.g\. roberta\.embeddings\.x, lm_head\.bias"
    ):
        convert.load_into(variables, rows, strange)
    with pytest.raises(ValueError, match="no BERT in it"):
        convert.load_bert(variables, rows, strange)


def test_both_encoders_of_an_original_checkpoint(recorded, build):
    path = recorded("original/biencoder-proj-training/checkpoint.cp")
    found = {}
    for kind in ("ctx", "question"):
        rows, variables = build(path, kind)
        report = convert.load_into(variables, rows, files.read_checkpoint(path))
        assert report.dialect == "facebookresearch/DPR"
        assert "encoder in the same file" in next(
            iter(set(report.ignored.values()) - set(names.IGNORED.values()))
        )
        found[kind] = values(variables)
    left = found["ctx"]["ctx_encoder/encode_proj/kernel"]
    assert not np.array_equal(left, found["question"]["question_encoder/encode_proj/kernel"])


# Errors list everything


def test_one_error_lists_missing_mismatched_and_integer_weights(recorded, build):
    arrays = reference(recorded, "ctx")
    key = "ctx_encoder.bert_model.encoder.layer.{}"
    del arrays[key.format("1.output.dense.bias")], arrays[key.format("0.output.dense.bias")]
    arrays[key.format("0.attention.self.key.weight")] = np.zeros((16, 15), np.float32)
    arrays[key.format("0.attention.self.key.bias")] = np.zeros(16, np.int8)
    rows, variables = build(recorded("formats/ctx-safetensors"), "ctx")
    with pytest.raises(ValueError, match="nothing was loaded") as error:
        convert.load_into(variables, rows, memory(arrays))
    lines = str(error.value).splitlines()
    assert lines[1:4] == [
        "2 weights are missing:",
        "  ctx_encoder.bert_model.encoder.layer.0.output.dense.bias",
        "  ctx_encoder.bert_model.encoder.layer.1.output.dense.bias",
    ]
    assert "layer.0.attention.self.key.weight: checkpoint (16, 15), model (16, 16); hidden_size" in str(
        error.value
    )
    assert "layer.0.attention.self.key.bias: int8" in str(error.value)
    assert untouched(variables)


@pytest.mark.parametrize(
    ("changes", "remedy"),
    [
        ({"num_hidden_layers": 4}, "num_hidden_layers in config.json asks for more than the 2 blocks"),
        ({"projection_dim": 7}, "projection_dim in config.json should be 0"),
        (
            {"position_embedding_type": "relative_key"},
            "position_embedding_type in config.json should be 'absolute'",
        ),
        ({"hidden_size": 18}, "hidden_size in config.json is 18, here 16"),
        ({"intermediate_size": 31}, "intermediate_size in config.json is 31, here 23"),
        ({"vocab_size": 99}, "vocab_size in config.json is 99, here 150"),
        ({"max_position_embeddings": 41}, "max_position_embeddings in config.json is 41, here 40"),
        ({"type_vocab_size": 3}, "type_vocab_size in config.json is 3, here 2"),
    ],
)
@pytest.mark.parametrize("format", ["safetensors", "h5"])
def test_the_error_names_the_field_of_the_configuration(changes, remedy, format, recorded, build):
    path = recorded(f"formats/ctx-{format}")
    rows, variables = build(path, "ctx", **changes)
    with pytest.raises(ValueError, match=re.escape(remedy)):
        convert.load_into(variables, rows, files.read_checkpoint(path))
    assert untouched(variables)


def test_fewer_blocks_than_the_checkpoint_has_load_with_a_warning(recorded, build):
    path = recorded("formats/ctx-safetensors")
    rows, variables = build(path, "ctx", num_hidden_layers=1)
    with pytest.warns(UserWarning, match=r"layer\.1\.attention"):
        report = convert.load_into(variables, rows, files.read_checkpoint(path))
    assert len(report.unexpected) == 16
    assert report.loaded == 21


def test_two_names_for_one_weight_are_refused(recorded, build):
    arrays = reference(recorded, "ctx")
    key = "ctx_encoder.bert_model.embeddings.LayerNorm."
    arrays[key + "gamma"] = arrays[key + "weight"]
    rows, variables = build(recorded("formats/ctx-safetensors"), "ctx")
    with pytest.raises(ValueError, match="are the same weight"):
        convert.load_into(variables, rows, memory(arrays))


def test_variables_that_are_not_those_of_the_rows(recorded, build):
    rows, variables = build(recorded("formats/ctx-safetensors"), "ctx")
    variables["ctx_encoder/new/kernel"] = variables.pop(rows[3].keras)
    with pytest.raises(
        ValueError, match=r"without a row \['ctx_encoder/new/kernel'\], without a variable \['ctx_enc"
    ):
        convert.load_into(variables, rows, files.read_checkpoint(recorded("formats/ctx-safetensors")))


# What may stay as it is


def test_newly_asked_weights_stay_initialised_and_are_reported(recorded, build):
    path = recorded("formats/ctx-safetensors")
    rows, variables = build(path, "ctx", projection_dim=7)
    report = convert.load_into(
        variables, rows, files.read_checkpoint(path), may_initialise=lambda path: "encode_proj" in path
    )
    assert report.initialised == ("ctx_encoder/encode_proj/bias", "ctx_encoder/encode_proj/kernel")
    assert report.loading_info()["missing_keys"] == [
        "ctx_encoder.encode_proj.bias",
        "ctx_encoder.encode_proj.weight",
    ]
    assert [path for path, variable in variables.items() if not variable.assigned] == [
        "ctx_encoder/encode_proj/kernel",
        "ctx_encoder/encode_proj/bias",
    ]


def test_mismatched_sizes_can_be_ignored(recorded, build):
    path = recorded("bad/wrong-shape")
    rows, variables = build(path, "question")
    report = convert.load_into(variables, rows, files.read_checkpoint(path), ignore_mismatched_sizes=True)
    key = "question_encoder.bert_model.encoder.layer.0.intermediate.dense.weight"
    assert report.loading_info()["mismatched_keys"] == [(key, (24, 16), (23, 16))]
    left = "question_encoder/bert_model/encoder/layer_0/intermediate/kernel"
    assert report.initialised == (left,)
    assert [path for path, variable in variables.items() if not variable.assigned] == [left]


def test_float64_too_large_for_float32_is_named(recorded, build):
    arrays = {key: array.astype(np.float64) for key, array in reference(recorded, "ctx").items()}
    arrays["ctx_encoder.bert_model.embeddings.LayerNorm.bias"][3] = 1e300
    rows, variables = build(recorded("formats/ctx-safetensors"), "ctx")
    with pytest.warns(
        UserWarning, match=r"NaN or infinite numbers in ctx_encoder\.bert_model\.embeddings\.LayerNorm"
    ):
        convert.load_into(variables, rows, memory(arrays))


@pytest.mark.parametrize("odd", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_the_weights_that_are_not_finite_are_named_and_no_others(dtype, odd, recorded, build, monkeypatch):
    monkeypatch.setattr(convert, "_THREADS", 1)  # whose memory held the odd number before
    rows, variables = build(recorded("formats/ctx-safetensors"), "ctx", dtype)
    arrays = reference(recorded, "ctx")
    largest = float(ml_dtypes.finfo(dtype).max)
    names_of_odd = [
        "ctx_encoder.bert_model.encoder.layer.0.intermediate.dense.weight",
        "ctx_encoder.bert_model.embeddings.LayerNorm.bias",
    ]
    for key, array in arrays.items():
        array.flat[-1] = odd if key in names_of_odd else -largest
    with pytest.warns(UserWarning, match="NaN or infinite") as caught:
        convert.load_into(variables, rows, memory(arrays))
    named = re.search("numbers in (.*); outputs", str(caught[0].message))[1]
    assert named.split(", ") == sorted(names_of_odd)


# BERT


@pytest.mark.parametrize(
    "source",
    [
        "bad/plain-bert",
        "formats/ctx-bin-hubkeys",
        "formats/question-h5",
        "formats/reader-safetensors-tf",
        "original/biencoder-dict-legacy/checkpoint.cp",
    ],
)
@pytest.mark.parametrize("kind", ["ctx", "question", "reader"])
def test_any_bert_starts_any_model(source, kind, recorded, build):
    checkpoint = files.read_checkpoint(recorded(source))
    blocks = convert.sizes(checkpoint)["num_hidden_layers"]
    rows, variables = build(
        recorded("formats/ctx-safetensors"), kind, projection_dim=5, num_hidden_layers=blocks
    )
    report = convert.load_bert(variables, rows, checkpoint)
    fresh = {path.rsplit("/", 2)[1] for path in report.initialised}
    assert fresh == {"encode_proj", *(("qa_outputs", "qa_classifier") if kind == "reader" else ())}
    assert report.loaded == len(rows) - len(report.initialised)
    assert not report.unexpected
    for path, variable in variables.items():
        assert variable.assigned == (path not in report.initialised)
    wanted = next(
        array for key, array in checkpoint.items() if "layer" in key and "query" in key and array.shape[1:]
    )
    kernel = next(
        variable.value
        for path, variable in variables.items()
        if path.endswith("layer_0/attention/query/kernel")
    )
    if source.startswith("bad"):
        np.testing.assert_array_equal(kernel, wanted.read().T)


def test_plain_bert_without_prefix_and_with_heads(recorded, build):
    bert = files.read_checkpoint(recorded("bad/plain-bert"))
    arrays = {key.removeprefix("bert."): array.read() for key, array in bert.items()}
    arrays |= {"cls.predictions.bias": np.zeros(9, np.float32), "embeddings.position_ids": np.arange(40)}
    rows, variables = build(recorded("formats/ctx-safetensors"), "ctx")
    report = convert.load_bert(variables, rows, memory(arrays))
    assert report.dialect == "BERT"
    assert report.loaded == 37
    assert sorted(report.ignored) == [
        "cls.predictions.bias",
        "embeddings.position_ids",
        "pooler.dense.bias",
        "pooler.dense.weight",
    ]


def test_bert_of_other_sizes_is_an_error(recorded, build):
    rows, variables = build(recorded("formats/ctx-safetensors"), "ctx", hidden_size=18)
    with pytest.raises(ValueError, match=r"hidden_size in config\.json is 18, here 16"):
        convert.load_bert(variables, rows, files.read_checkpoint(recorded("bad/plain-bert")))
    assert untouched(variables)


@pytest.mark.parametrize("source", ["question-bin-zip", "question-h5", "question-safetensors-tf"])
def test_sizes_are_told_by_shapes(source, recorded):
    assert convert.sizes(files.read_checkpoint(recorded(f"formats/{source}"))) == {
        "vocab_size": 150,
        "type_vocab_size": 2,
        "max_position_embeddings": 40,
        "hidden_size": 16,
        "intermediate_size": 23,
        "num_hidden_layers": 2,
        "projection_dim": 10,
    }
    assert convert.sizes(memory({"x": np.zeros(3)})) == {}


# Export


@pytest.mark.parametrize("kind", ["ctx", "question", "reader"])
def test_export_gives_the_file_it_came_from(kind, recorded, build, tmp_path):
    path = recorded(f"formats/{kind}-safetensors")
    rows, variables = build(path, kind)
    convert.load_into(variables, rows, files.read_checkpoint(path))
    files.write_safetensors(tmp_path, convert.to_torch(variables, rows))
    assert (tmp_path / "model.safetensors").read_bytes() == (path / "model.safetensors").read_bytes()
    head = names.head_of(rows)
    files.write_h5(tmp_path, convert.to_tf_h5(variables, rows), names.TF_SCOPE[head])
    wanted = files.read_checkpoint(recorded(f"formats/{kind}-h5"))
    found = files.read_checkpoint(tmp_path / "tf_model.h5")
    assert list(found) == list(wanted)
    for key in wanted:
        np.testing.assert_array_equal(found[key].read(), wanted[key].read())


def test_bfloat16_is_exported_as_it_is(recorded, build, tmp_path):
    rows, variables = build(recorded("formats/ctx-safetensors"), "ctx", "bfloat16")
    convert.load_into(variables, rows, files.read_checkpoint(recorded("formats/ctx-safetensors-bf16")))
    files.write_safetensors(tmp_path, convert.to_torch(variables, rows))
    found = files.read_checkpoint(tmp_path)
    assert {array.dtype for array in found.values()} == {np.dtype(ml_dtypes.bfloat16)}
    for key, array in reference(recorded, "ctx", "-bf16").items():
        np.testing.assert_array_equal(found[key].read(), array)


# Planted mistakes: the comparisons above must be able to fail.


@pytest.mark.parametrize("mistake", ["transposed", "swapped"])
def test_planted_mistakes_in_the_table_are_noticed(mistake, recorded, build, monkeypatch):
    path = recorded("formats/ctx-safetensors")
    rows, variables = build(path, "ctx")
    wrong = list(rows)
    if mistake == "transposed":  # a square kernel: no shape tells
        place = next(i for i, row in enumerate(rows) if row.keras.endswith("query/kernel"))
        wrong[place] = rows[place]._replace(op=names.COPY)
    else:
        query, key = (
            next(i for i, row in enumerate(rows) if row.keras.endswith(e)) for e in ("query/bias", "key/bias")
        )
        wrong[query] = rows[query]._replace(torch=rows[key].torch)
        wrong[key] = rows[key]._replace(torch=rows[query].torch)
    convert.load_into(variables, wrong, files.read_checkpoint(path))
    exact = files.read_checkpoint(recorded("formats/ctx-h5"))
    differing = [
        row.keras
        for row in rows
        if not np.array_equal(variables[row.keras].value, exact[f"tfdpr_context_encoder/{row.tf}"].read())
    ]
    assert len(differing) == {"transposed": 1, "swapped": 2}[mistake]
