"""Files from local folders and from a Hub (a fake one on this machine), uploads, and their errors."""

import pytest
from fake_hub import TOKEN, serve

from dpr_tf import hub
from dpr_tf.config import DPRConfig


@pytest.fixture
def hub_server(monkeypatch, tmp_path):
    monkeypatch.setattr(hub, "_no_connection_until", 0.0)
    with serve(monkeypatch, tmp_path / "hub-cache") as server:
        yield server


@pytest.fixture(params=["hangs up", "is not there"])
def close_hub(request, hub_server, monkeypatch):
    """Makes the Hub unreachable, in one of two ways."""

    def close():
        monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", lambda seconds: None)
        hub_server.down = True
        if request.param == "is not there":
            nowhere = "http://127.0.0.1:1/{repo_id}/resolve/{revision}/{filename}"
            monkeypatch.setattr("huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", nowhere)

    return close


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "model"
    (folder / "sub").mkdir(parents=True)
    for name in ("b.bin", "c.json", "sub/d.txt"):
        (folder / name).write_text(name)
    return folder


# ---------------------------------------------------------------------------------------------- local folders


def test_first_existing_file_of_a_folder(folder):
    assert hub.find_file(folder, ("a.bin", "b.bin", "c.json")) == folder / "b.bin"
    assert hub.find_file(str(folder), ("sub/d.txt",)) == folder / "sub/d.txt"
    assert hub.find_file(folder, ("d.txt",), subfolder="sub") == folder / "sub/d.txt"
    assert hub.find_file(folder, ("d.txt",)) is None
    assert hub.find_file(folder, ("sub",)) is None  # a folder is no file
    assert hub.find_file(folder, ("b.bin",), subfolder="absent") is None


def test_required_file_says_what_is_there_instead(folder):
    assert hub.require_file(folder, ("c.json",)) == folder / "c.json"
    with pytest.raises(OSError, match=r"model does not .* named x or y: it holds b.bin, c.json, sub\."):
        hub.require_file(folder, ("x", "y"))
    with pytest.raises(OSError, match=r"absent does not .* there is no such folder"):
        hub.require_file(folder, ("x",), subfolder="absent")


@pytest.mark.parametrize(
    "name", ["../b.bin", "sub/../../b.bin", "/etc/passwd", "..\\b.bin", "C:b.bin", "\\b.bin"]
)
def test_names_that_leave_the_folder_are_refused(folder, name):
    for arguments in ({"filenames": (name,)}, {"filenames": ("b.bin",), "subfolder": name}):
        with pytest.raises(ValueError, match="leads out of the model's folder"):
            hub.find_file(folder / "sub", **arguments)


def test_linked_files_of_a_folder_are_found(folder):
    (folder / "sub" / "link.bin").symlink_to(folder / "b.bin")  # the Hub's own cache is made of such links
    assert hub.find_file(folder / "sub", ("link.bin",)).read_text() == "b.bin"


@pytest.mark.parametrize(
    "name", ["/no/such/folder", "./no-such-folder", "no/such/folder", "a b/c", "models--a--b"]
)
def test_what_is_neither_folder_nor_hub_id(name):
    with pytest.raises(OSError, match=r"There is no folder .* cannot be a Hub id: check the path"):
        hub.find_file(name, ("c.json",))


def test_path_objects_never_mean_the_hub(tmp_path, hub_server):
    with pytest.raises(OSError, match="a path object always means a local folder"):
        hub.find_file(tmp_path / "absent", ("c.json",))
    assert hub_server.requests == []


def test_empty_names_and_files(folder):
    with pytest.raises(OSError, match="name or path of the model is empty"):
        hub.find_file("", ("c.json",))
    with pytest.raises(OSError, match="is a file; expected a folder that holds"):
        hub.find_file(folder / "b.bin", ("c.json",))


# ---------------------------------------------------------------------------------------------------- the Hub


def test_first_existing_file_of_a_repository(hub_server):
    hub_server.add("owner/model", {"b.bin": b"b", "c.json": b"c", "sub/d.txt": b"d"})
    assert hub.find_file("owner/model", ("a.bin", "b.bin", "c.json")).read_bytes() == b"b"
    assert hub.find_file("owner/model", ("d.txt",), subfolder="sub").read_bytes() == b"d"
    assert hub.find_file("owner/model", ("d.txt",)) is None
    with pytest.raises(OSError, match=r"repository 'owner/model', folder 'sub' does not .* named x"):
        hub.require_file("owner/model", ("x",), subfolder="sub")


def test_downloads_are_kept_unless_forced(hub_server, tmp_path):
    hub_server.add("owner/model", {"b.bin": b"b"})
    for _ in range(2):
        path = hub.find_file("owner/model", ("b.bin",), cache_dir=tmp_path / "mine")
    assert (tmp_path / "mine") in path.parents
    assert [method for method, name in hub_server.requests if name.endswith("b.bin")].count("GET") == 1
    hub.find_file("owner/model", ("absent", "b.bin"), cache_dir=tmp_path / "mine", force_download=True)
    assert [method for method, name in hub_server.requests if name.endswith("b.bin")].count("GET") == 2


def test_revisions(hub_server):
    hub_server.add("owner/model", {"b.bin": b"new"})
    hub_server.add("owner/model", {"b.bin": b"old"}, revision="v1")
    commit = hub_server.commit_of("owner/model", "v1")
    assert hub.find_file("owner/model", ("b.bin",)).read_bytes() == b"new"
    for revision in ("v1", commit):
        assert hub.find_file("owner/model", ("b.bin",), revision=revision).read_bytes() == b"old"
    with pytest.raises(OSError, match="has no revision 'v2'; leave revision= out"):
        hub.find_file("owner/model", ("b.bin",), revision="v2")
    with pytest.raises(OSError, match="at revision 'v1' does not appear"):
        hub.require_file("owner/model", ("x",), revision="v1")


@pytest.mark.parametrize("force_download", [False, True])
def test_absent_private_and_gated_repositories(hub_server, force_download):
    hub_server.add("owner/private", {"b.bin": b"b"})
    hub_server.private.add("owner/private")
    hub_server.gated.add("owner/gated")
    how = {"force_download": force_download}
    with pytest.raises(
        OSError, match=r"'owner/absent' is neither a local folder nor a model .* Check the spelling"
    ):
        hub.find_file("owner/absent", ("b.bin",), **how)
    with pytest.raises(OSError, match="log in with `hf auth login` or pass token="):
        hub.find_file("owner/private", ("b.bin",), **how)
    with pytest.raises(OSError, match="'owner/gated' is restricted"):
        hub.find_file("owner/gated", ("b.bin",), **how)
    assert hub.find_file("owner/private", ("b.bin",), token=TOKEN, **how).read_bytes() == b"b"


def test_cache_without_the_hub(hub_server, monkeypatch):
    hub_server.add("owner/model", {"b.bin": b"b"})
    downloaded = hub.find_file("owner/model", ("b.bin",))
    seen = len(hub_server.requests)

    def check(**how):
        assert hub.find_file("owner/model", ("a.bin", "b.bin"), **how) == downloaded
        assert hub.find_file("owner/model", ("optional.json",), **how) is None
        with pytest.raises(
            OSError, match="'owner/other' is not a local folder, is not in the download cache"
        ):
            hub.find_file("owner/other", ("b.bin",), **how)

    check(local_files_only=True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    check()
    assert len(hub_server.requests) == seen
    with pytest.raises(OSError, match="force_download=True needs a connection"):
        hub.find_file("owner/model", ("b.bin",), force_download=True)


def test_one_failed_connection_speaks_for_the_next_files(hub_server, close_hub):
    hub_server.add("owner/model", {"b.bin": b"b"})
    downloaded = hub.find_file("owner/model", ("b.bin",))
    close_hub()
    assert hub.find_file("owner/model", ("a.bin",)) is None
    seen = len(hub_server.requests)
    assert hub.find_file("owner/model", ("c.bin", "b.bin")) == downloaded
    with pytest.raises(OSError, match="'owner/other' is not a local folder, is not in the download cache"):
        hub.find_file("owner/other", ("b.bin",))
    assert len(hub_server.requests) == seen
    with pytest.raises(OSError, match="force_download=True needs a connection"):
        hub.find_file("owner/model", ("b.bin",), force_download=True)


def test_proxies_are_refused_for_the_hub_only(folder, hub_server):
    assert hub.find_file(folder, ("b.bin",), proxies={"https": "x"}) == folder / "b.bin"
    with pytest.raises(ValueError, match="HTTPS_PROXY"):
        hub.find_file("owner/model", ("b.bin",), proxies={"https": "x"})
    assert hub_server.requests == []


def test_split_arguments():
    given = {
        "revision": "v1",
        "subfolder": None,
        "resume_download": True,
        "mirror": "x",
        "foo": 1,
        "_from_auto": True,
    }
    assert hub.split_arguments(given) == ({"revision": "v1"}, {"foo": 1})
    assert given["foo"] == 1
    with pytest.warns(FutureWarning, match="use_auth_token is called token"):
        assert hub.split_arguments({"use_auth_token": "t"}) == ({"token": "t"}, {})


# ---------------------------------------------------------------------------------------------------- uploads


def test_push_folder(hub_server, folder):
    url = hub.push_folder(folder, "owner/new", commit_message="First", private=True, token=TOKEN)
    commit = hub_server.commit_of("owner/new", "main")
    assert url == f"{hub_server.url}/owner/new/commit/{commit}"
    files = {"b.bin": b"b.bin", "c.json": b"c.json", "sub/d.txt": b"sub/d.txt"}
    assert hub_server.files["owner/new", "main"] == files
    assert (hub_server.messages, hub_server.private) == (["First"], {"owner/new"})


def test_push_folder_to_a_branch_and_as_a_pull_request(hub_server, folder):
    hub.push_folder(folder, "owner/new", token=TOKEN, revision="dev", allow_patterns=["*.json"])
    assert hub_server.files["owner/new", "main"] == {}
    assert hub_server.files["owner/new", "dev"] == {"c.json": b"c.json"}
    url = hub.push_folder(folder, "owner/new", token=TOKEN, create_pr=True)
    assert url == f"{hub_server.url}/owner/new/discussions/1"


def test_push_folder_wants_a_folder(folder):
    with pytest.raises(OSError, match="is not a folder; save the model first"):
        hub.push_folder(folder / "b.bin", "owner/new")


def test_configurations_travel(hub_server, tmp_path):
    config = DPRConfig(projection_dim=5)
    config.push_to_hub("owner/one", token=TOKEN, use_temp_dir=True, safe_serialization=True)
    config.save_pretrained(tmp_path / "two", push_to_hub=True, token=TOKEN)
    assert list(hub_server.files["me/two", "main"]) == ["config.json"]
    for name in ("owner/one", "me/two"):
        assert DPRConfig.from_pretrained(name, resume_download=True).projection_dim == 5
