"""The PyTorch twins: recorded outputs and gradients, names, loading and saving, errors."""

import copy
import importlib
import logging
import sys
import warnings

import numpy as np
import pytest
import recordings
from fake_hub import TOKEN, serve

from dpr_tf import hub
from dpr_tf.config import ACTIVATIONS, DPRConfig
from dpr_tf.weights import convert, files, names

torch = pytest.importorskip("torch")
twins = importlib.import_module("dpr_tf.models.torch")

KINDS = {"ctx": twins.DPRContextEncoder, "question": twins.DPRQuestionEncoder, "reader": twins.DPRReader}
CLASSES = pytest.mark.parametrize("cls", KINDS.values(), ids=KINDS)
SIZES = {
    "vocab_size": 43,
    "hidden_size": 12,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
    "intermediate_size": 17,
    "max_position_embeddings": 11,
    "type_vocab_size": 5,
    "initializer_range": 0.3,
}
IDS = torch.tensor([[2, 7, 9, 4, 3, 0, 0], [2, 8, 3, 0, 0, 0, 0]])


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Models this small lose time to threads that wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def make(cls, seed=0, **fields):
    """A small model in evaluation mode with every tensor random."""
    torch.manual_seed(seed)
    model = cls(DPRConfig(**{**SIZES, **fields})).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return model


def load(entry):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of unexpected weights: not what these tests are about
        return KINDS[entry["kind"]].from_pretrained(recordings.checkpoint(entry["path"]))


def assert_same(first, second, tolerance=0.0):
    assert list(first) == list(second)
    for key in first:
        torch.testing.assert_close(first[key], second[key], rtol=0, atol=tolerance)


# ----------------------------------------------------------------------------------------------------
# recorded


def sound_checkpoints():
    entries = [entry for entry in recordings.checkpoints() if "weights" in entry]
    return pytest.mark.parametrize("entry", entries, ids=[f"{e['path']}-{e['weights']}" for e in entries])


@sound_checkpoints()
def test_recorded_outputs(entry):
    model = load(entry)

    def call(**arguments):
        tensors = {k: torch.from_numpy(v) if isinstance(v, np.ndarray) else v for k, v in arguments.items()}
        with torch.no_grad():
            return model(**tensors)

    recordings.assert_parity(call, entry["weights"], to_numpy=lambda tensor: tensor.numpy())


def weights_with(case):
    found = {name: entry for name, entry in recordings.weights().items() if case in entry["cases"]}
    return pytest.mark.parametrize(("name", "entry"), found.items(), ids=found)


@weights_with("grad")
def test_recorded_gradients(name, entry):
    model = load({"kind": entry["kind"], "path": entry["computed_from"]})
    inputs = {key: torch.from_numpy(value) for key, value in recordings.case_inputs(name, "grad").items()}
    flags = {"output_attentions": False, "output_hidden_states": False}
    sum((logits**2).mean() for logits in model(**inputs, return_dict=True, **flags).values()).backward()
    start = "grad/pt/grad/"
    recorded = {k.removeprefix(start): v for k, v in recordings.expected(name).items() if k.startswith(start)}
    assert len(recorded) >= 3
    for key, gradient in recorded.items():
        found = model.get_parameter(key).grad.numpy()
        np.testing.assert_allclose(found, gradient, rtol=0, atol=recordings.TOLERANCE, err_msg=key)


@weights_with("grad")
def test_names_are_those_of_the_checkpoint(name, entry):
    path = recordings.checkpoint(entry["computed_from"])
    model = load({"kind": entry["kind"], "path": entry["computed_from"]})
    stored = files.read_checkpoint(path)
    shapes = {key: tuple(tensor.shape) for key, tensor in model.state_dict().items()}
    assert shapes == {key: array.shape for key, array in stored.items()}


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_recorded_activations(name):
    with np.load(recordings.DATA / "expected" / "activations.npz") as recorded:
        x, wanted = torch.from_numpy(recorded["x"]), recorded[f"{name}/pt"]
    np.testing.assert_allclose(
        importlib.import_module("dpr_tf.models.torch_bert").ACTIVATIONS[name](x).numpy(),
        wanted,
        rtol=0,
        atol=1e-5,
    )


# ---------------------------------------------------------------------------------------------------- forward


@CLASSES
def test_fused_attention_is_the_written_out_one(cls):
    model = make(cls, pad_token_id=1)
    # The second row has nothing to attend to.
    mask = torch.tensor([[1, 0, 1, 1, 1, 0, 0], [0, 0, 0, 0, 0, 0, 0]])
    with torch.no_grad():
        fused = model(IDS, mask)
        written_out = model(IDS, mask, output_attentions=True)
    assert len(written_out.attentions) == 2
    # Vectors and logits reach about 4; rounding of float32 there is 2e-7 per operation.
    assert_same(fused, {key: written_out[key] for key in fused}, tolerance=5e-6)


@pytest.mark.parametrize("position_embedding_type", ["absolute", "relative_key", "relative_key_query"])
@CLASSES
def test_flags_by_argument_and_configuration(cls, position_embedding_type):
    model = make(cls, projection_dim=9, position_embedding_type=position_embedding_type)
    plain = model(IDS)
    assert isinstance(plain, cls.output_class)
    assert (plain.hidden_states, plain.attentions) == (None, None)
    full = model(IDS, output_attentions=True, output_hidden_states=True)
    assert [state.shape for state in full.hidden_states] == [(2, 7, 12)] * 3
    assert [attention.shape for attention in full.attentions] == [(2, 3, 7, 7)] * 2
    as_tuple = model(IDS, output_attentions=True, output_hidden_states=True, return_dict=False)
    assert len(as_tuple) == len(full) == len(plain) + 2
    torch.testing.assert_close(as_tuple[0], full[0])
    model.config.output_attentions = model.config.output_hidden_states = True
    model.config.return_dict = False
    assert len(model(IDS)) == len(full)
    assert len(model(IDS, output_attentions=False, return_dict=True)) == len(full) - 1


def test_projected_vectors_and_unprojected_heads():
    assert make(twins.DPRContextEncoder, projection_dim=9)(IDS).pooler_output.shape == (2, 9)
    reader = make(twins.DPRReader, projection_dim=9)
    before = reader(IDS)
    with torch.no_grad():
        reader.span_predictor.encoder.encode_proj.weight.zero_()
    assert (before.start_logits.shape, before.relevance_logits.shape) == ((2, 7), (2,))
    assert_same(before, reader(IDS))


@CLASSES
def test_default_mask(cls):
    model = make(cls)
    mask = torch.ones_like(IDS) if cls is twins.DPRReader else (IDS != 0).long()
    other = (IDS != 0).long() if cls is twins.DPRReader else torch.ones_like(IDS)
    assert_same(model(IDS), model(IDS, mask))
    assert (model(IDS)[0] - model(IDS, other)[0]).abs().max() > 1e-3
    embeds = model.get_input_embeddings()(IDS)
    assert_same(model(inputs_embeds=embeds), model(inputs_embeds=embeds, attention_mask=torch.ones_like(IDS)))


@CLASSES
def test_masks_of_every_type_and_rank(cls):
    model = make(cls)
    mask = (IDS != 0).long()
    wanted = model(IDS, mask)
    for other in (mask.bool(), mask.float(), mask[:, None].expand(2, 7, 7)):
        assert_same(model(IDS, other), wanted)
    assert_same(model(IDS.int(), mask), wanted)


@CLASSES
def test_dropout_in_training_only(cls):
    model = make(cls)
    assert_same(model(IDS), model(IDS))
    model.train()
    assert (model(IDS)[0] - model(IDS)[0]).abs().max() > 1e-4
    attentions = model(IDS, output_attentions=True).attentions
    assert any((attention == 0).any() for attention in attentions)


@CLASSES
def test_gradient_checkpointing_gives_the_same_gradients(cls):
    model = make(cls, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0).train()

    def gradients():
        model.zero_grad()
        sum((value**2).mean() for value in model(IDS).values()).backward()
        return {key: p.grad.clone() for key, p in model.named_parameters() if p.grad is not None}

    wanted = gradients()
    model.gradient_checkpointing_enable()
    assert model.is_gradient_checkpointing
    assert_same(gradients(), wanted, tolerance=1e-6)
    model.gradient_checkpointing_disable()
    assert not model.is_gradient_checkpointing


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
@CLASSES
def test_other_precisions(cls, dtype):
    model = make(cls)
    # Without a row that has nothing to attend to: float16 is too narrow to leave its scores equal.
    mask = torch.tensor([[1] * 7, [0, 1, 1, 0, 0, 0, 0]])
    wanted, found = model(IDS, mask), copy.deepcopy(model).to(dtype)(IDS, mask)
    assert found[0].dtype == dtype
    torch.testing.assert_close(
        found[0].float(), wanted[0], rtol=0, atol=0.15 if dtype != torch.float64 else 1e-5
    )


@CLASSES
def test_wrong_inputs(cls):
    model = make(cls)
    embeds = torch.zeros(2, 7, 12)
    with pytest.raises(ValueError, match="have to specify either input_ids or inputs_embeds"):
        model()
    with pytest.raises(ValueError, match="cannot specify both input_ids and inputs_embeds"):
        model(IDS, inputs_embeds=embeds)
    with pytest.raises(ValueError, match=r"input_ids must be \[batch, tokens\], got the shape \(7,\)"):
        model(IDS[0])
    with pytest.raises(ValueError, match=r"inputs_embeds must be \[batch, tokens, 12\], got .* \(2, 7, 11\)"):
        model(inputs_embeds=embeds[:, :, 1:])
    with pytest.raises(ValueError, match=r"12 tokens long; this model takes 1 to 11 \(max_pos"):
        model(torch.ones(1, 12, dtype=torch.long))
    with pytest.raises(ValueError, match="0 tokens long"):
        model(IDS[:, :0])
    with pytest.raises(ValueError, match=r"attention_mask must be \[2, 7\] .*, got the shape \(2, 6\)"):
        model(IDS, IDS[:, 1:])
    with pytest.raises(TypeError, match=r"input_ids must be a torch.Tensor, got <class 'numpy.ndarray'>"):
        model(IDS.numpy())
    with pytest.raises(IndexError):
        model(IDS + 43)
    with pytest.raises(TypeError, match="unexpected keyword argument"):
        model(IDS, unknown=1)
    assert model(IDS[:0])[0].shape[0] == 0


def test_token_types():
    model = make(twins.DPRQuestionEncoder)
    types = torch.zeros_like(IDS)
    assert_same(model(IDS), model(IDS, token_type_ids=types), tolerance=1e-6)
    assert (model(IDS)[0] - model(IDS, token_type_ids=types + 4)[0]).abs().max() > 1e-3
    with pytest.raises(TypeError, match="token_type_ids"):
        make(twins.DPRReader)(IDS, token_type_ids=types)


# ---------------------------------------------------------------------------------------------------- models


def test_fresh_weights():
    torch.manual_seed(0)
    model = twins.DPRContextEncoder(
        DPRConfig(**{**SIZES, "vocab_size": 600, "initializer_range": 0.1, "pad_token_id": 5})
    )
    table = model.get_input_embeddings().weight
    assert table[5].abs().max() == 0
    assert table.std().item() == pytest.approx(0.1, rel=0.05)
    block = model.bert_model.encoder.layer[0]
    assert block.intermediate.dense.weight.std().item() == pytest.approx(0.1, rel=0.05)
    assert block.intermediate.dense.bias.abs().max() == 0
    assert (block.output.LayerNorm.weight == 1).all()
    assert {m.eps for m in model.modules() if isinstance(m, torch.nn.LayerNorm)} == {1e-12}
    assert model.training


def test_unsupported_configurations():
    with pytest.raises(ValueError, match="takes a DPRConfig, got dict"):
        twins.DPRReader({})
    for field, value in {"is_decoder": True, "add_cross_attention": True, "pruned_heads": {0: [1]}}.items():
        with pytest.raises(ValueError, match=f"{field}=.*: not supported"):
            twins.DPRReader(DPRConfig(**SIZES, **{field: value}))
    config = DPRConfig(**SIZES)
    config.num_attention_heads = 5
    with pytest.raises(ValueError, match="12 is not a multiple of num_attention_heads 5"):
        twins.DPRReader(config)


@CLASSES
def test_properties(cls):
    model = make(cls)
    assert model.base_model is getattr(model, model.base_model_prefix)
    assert (model.device.type, model.dtype) == ("cpu", torch.float32)
    assert model(**model.dummy_inputs)[0].shape[0] == 1
    tables = 12 * (43 + 11 + 5)
    assert model.num_parameters() - model.num_parameters(exclude_embeddings=True) == tables
    model.get_input_embeddings().weight.requires_grad_(False)
    assert model.num_parameters() - model.num_parameters(only_trainable=True) == 12 * 43
    assert model.get_output_embeddings() is None


@CLASSES
def test_resize_token_embeddings(cls):
    model = make(cls)
    old = model.get_input_embeddings().weight.detach().clone()
    before = model(IDS)
    assert model.resize_token_embeddings() is model.get_input_embeddings()
    table = model.resize_token_embeddings(50)
    assert (table.num_embeddings, model.config.vocab_size, table.padding_idx) == (50, 50, 0)
    assert torch.equal(table.weight[:43], old)
    assert table.weight[43:].abs().min() > 0
    assert_same(model(IDS), before)
    assert model.resize_token_embeddings(11, pad_to_multiple_of=8).num_embeddings == 16
    assert torch.equal(model.get_input_embeddings().weight, old[:16])
    with pytest.raises(ValueError, match="vocab_size must be at least 1, found 0"):
        model.resize_token_embeddings(0)
    assert model.config.vocab_size == 16


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@CLASSES
def test_on_a_gpu(cls):
    model = make(cls, position_embedding_type="relative_key")
    wanted = model(IDS)
    found = model.cuda()(IDS.cuda())
    torch.testing.assert_close(found[0].cpu(), wanted[0], rtol=0, atol=1e-4)


# ------------------------------------------------------------------------------------------- loading and
# saving


@pytest.mark.parametrize("options", [{}, {"max_shard_size": 900}, {"safe_serialization": False}], ids=str)
@CLASSES
def test_saving_and_loading(cls, options, tmp_path):
    model = make(cls, projection_dim=9, position_embedding_type="relative_key", my_field=3)
    model.save_pretrained(tmp_path, **options)
    loaded, info = cls.from_pretrained(tmp_path, output_loading_info=True)
    assert_same(dict(loaded.state_dict()), dict(model.state_dict()))
    assert info == {"missing_keys": [], "unexpected_keys": [], "mismatched_keys": [], "error_msgs": []}
    assert not loaded.training
    assert (loaded.config.architectures, loaded.config.torch_dtype) == ([cls.__name__], "float32")
    assert (loaded.config.my_field, loaded.config.name_or_path) == (3, str(tmp_path))
    written = {path.name for path in tmp_path.iterdir()} - {"config.json"}
    if "max_shard_size" in options:
        assert "model.safetensors.index.json" in written
        assert len(written) > 3
    else:
        assert written == {"model.safetensors" if not options else "pytorch_model.bin"}


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_narrow_weights(tmp_path, dtype):
    model = make(twins.DPRReader).to(getattr(torch, dtype))
    model.save_pretrained(tmp_path)
    wide = twins.DPRReader.from_pretrained(tmp_path)
    assert_same(dict(wide.state_dict()), dict(model.float().state_dict()))
    for wanted in ("auto", dtype, getattr(torch, dtype)):
        assert twins.DPRReader.from_pretrained(tmp_path, torch_dtype=wanted).dtype == getattr(torch, dtype)
    narrow = twins.DPRReader.from_pretrained(tmp_path, dtype=dtype)
    assert_same(dict(narrow.float().state_dict()), dict(model.float().state_dict()))
    for wrong in ("int8", "float99", torch.long):
        with pytest.raises(ValueError, match="torch_dtype must be a floating-point"):
            twins.DPRReader.from_pretrained(tmp_path, torch_dtype=wrong)


@CLASSES
def test_which_file_is_preferred(cls, tmp_path):
    rows = names.rows(DPRConfig(**SIZES), cls.head)
    by_format = [make(cls, seed=seed) for seed in range(3)]
    by_format[0].save_pretrained(tmp_path)
    by_format[1].save_pretrained(tmp_path, safe_serialization=False)
    arrays = {}
    for row in rows:
        array = by_format[2].get_parameter(row.torch).detach().numpy()
        arrays[row.keras] = array.T if row.op == names.TRANSPOSE else array
    files.write_h5(tmp_path, convert.to_tf_h5(arrays, rows), names.TF_SCOPE[cls.head])
    options = [{}, {"use_safetensors": False}, {"from_tf": True}]
    for model, option in zip(by_format, options, strict=True):
        loaded = cls.from_pretrained(tmp_path, **option)
        assert_same(dict(loaded.state_dict()), dict(model.state_dict()))
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(OSError, match=r"named model\.safetensors"):
        cls.from_pretrained(tmp_path, use_safetensors=True)


def test_a_file_and_another_configuration(tmp_path):
    model = make(twins.DPRContextEncoder)
    model.save_pretrained(tmp_path)
    with_file = twins.DPRContextEncoder.from_pretrained(tmp_path / "model.safetensors")
    config = DPRConfig.from_pretrained(tmp_path, hidden_act="relu")
    with_config = twins.DPRContextEncoder.from_pretrained(tmp_path, config=config, low_cpu_mem_usage=True)
    assert_same(model(IDS), with_file(IDS))
    assert (model(IDS)[0] - with_config(IDS)[0]).abs().max() > 1e-3
    assert with_config.config is not config
    overridden = twins.DPRContextEncoder.from_pretrained(tmp_path, hidden_act="relu", output_attentions=True)
    assert_same({"pooler_output": overridden(IDS)[0]}, with_config(IDS), tolerance=1e-6)
    with pytest.raises(TypeError, match=r"not understood: \['foo'\]"):
        twins.DPRContextEncoder.from_pretrained(tmp_path, foo=1)


def test_a_new_projection_starts_fresh(tmp_path, caplog):
    make(twins.DPRQuestionEncoder).save_pretrained(tmp_path)
    with caplog.at_level(logging.WARNING):
        model, info = twins.DPRQuestionEncoder.from_pretrained(
            tmp_path, projection_dim=6, output_loading_info=True
        )
    fresh = ["question_encoder.encode_proj.bias", "question_encoder.encode_proj.weight"]
    assert info["missing_keys"] == fresh
    assert all(name in caplog.text for name in fresh)
    projection = model.question_encoder.encode_proj
    assert projection.bias.abs().max() == 0
    assert 0.1 < projection.weight.std() < 0.6
    wider = DPRConfig.from_pretrained(tmp_path, projection_dim=6)
    _, info = twins.DPRQuestionEncoder.from_pretrained(tmp_path, config=wider, output_loading_info=True)
    assert info["missing_keys"] == fresh


def test_what_does_not_fit_is_refused(tmp_path):
    make(twins.DPRQuestionEncoder).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="this is a question encoder checkpoint: use DPRQuestionEncoder"):
        twins.DPRContextEncoder.from_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"checkpoint \(17,\), model \(19,\)"):
        twins.DPRQuestionEncoder.from_pretrained(tmp_path, intermediate_size=19)
    model, info = twins.DPRQuestionEncoder.from_pretrained(
        tmp_path, intermediate_size=19, ignore_mismatched_sizes=True, output_loading_info=True
    )
    assert len(info["mismatched_keys"]) == 6
    for block in model.bert_model.encoder.layer:
        assert block.intermediate.dense.bias.abs().max() == 0
        assert 0.1 < block.output.dense.weight.std() < 0.6
        assert block.output.dense.bias.abs().max() > 0.1  # it fitted, and was read
    DPRConfig(**{**SIZES, "num_hidden_layers": 3}).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"16 weights are missing(.|\n)*layer.2.attention.self.query.weight"):
        twins.DPRQuestionEncoder.from_pretrained(tmp_path)


@CLASSES
def test_init_from_bert(cls, tmp_path):
    source = make(twins.DPRQuestionEncoder).state_dict()
    bert = {key.replace("question_encoder.bert_model.", "bert."): value for key, value in source.items()}
    files.write_safetensors(tmp_path, {key: value.numpy() for key, value in bert.items()})
    DPRConfig(**SIZES).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=f"plain BERT checkpoint.*{cls.__name__}.init_from_bert"):
        cls.from_pretrained(tmp_path)
    model, info = cls.init_from_bert(tmp_path, projection_dim=6, output_loading_info=True)
    found = {"bert." + key: value for key, value in model.bert_model.state_dict().items()}
    assert_same(found, bert)
    assert len(info["initialised"]) == (6 if cls is twins.DPRReader else 2)


def test_from_and_to_the_hub(monkeypatch, tmp_path):
    monkeypatch.setattr(hub, "_no_connection_until", 0.0)
    model = make(twins.DPRReader)
    (tmp_path / "saved").mkdir()
    (tmp_path / "saved/passwords.txt").write_text("secret")
    with serve(monkeypatch, tmp_path / "cache") as server:
        model.push_to_hub("owner/reader", use_temp_dir=True, token=TOKEN, max_shard_size=900)
        model.save_pretrained(tmp_path / "saved", push_to_hub=True, repo_id="owner/two", token=TOKEN)
        for name in ("owner/reader", "owner/two"):
            loaded = twins.DPRReader.from_pretrained(name, revision="main")
            assert_same(dict(loaded.state_dict()), dict(model.state_dict()))
        assert "passwords.txt" not in server.files["owner/two", "main"]
        with pytest.raises(OSError, match="neither a local folder nor a model on the Hub"):
            twins.DPRReader.from_pretrained("owner/three")


def test_saving_corner_cases(tmp_path, caplog):
    model = make(twins.DPRContextEncoder)
    model.save_pretrained(tmp_path / "no", is_main_process=False)
    assert not (tmp_path / "no").exists()
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="must be a folder"):
        model.save_pretrained(tmp_path / "file")
    with caplog.at_level(logging.WARNING):
        model.save_pretrained(tmp_path / "both")
        model.save_pretrained(tmp_path / "both", safe_serialization=False)
    assert "also holds model.safetensors" in caplog.text
    doubled = {key: 2 * value for key, value in model.state_dict().items()}
    model.save_pretrained(tmp_path / "doubled", state_dict=doubled)
    assert_same(dict(twins.DPRContextEncoder.from_pretrained(tmp_path / "doubled").state_dict()), doubled)


def test_without_torch(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.delitem(sys.modules, "dpr_tf.models.torch")
    with pytest.raises(ImportError, match=r"pip install 'dpr_tf\[torch\]', or take the TFDPR classes"):
        importlib.import_module("dpr_tf.models.torch")
