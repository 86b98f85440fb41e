"""From a name to files: local folders and Hugging Face Hub repositories, and back up to the Hub.

Knows nothing of what the files hold. `huggingface_hub` is imported only when a name is not a local folder.
"""

import os
import time
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, NamedTuple

# Arguments of `from_pretrained` in Transformers v4.34 that no longer do anything: downloads resume anyway, a
# mirror is set with HF_ENDPOINT, and no code is ever fetched. Calls that still pass them must keep working.
_RETIRED = ("resume_download", "mirror", "trust_remote_code", "user_agent")
_RETIRED_INTERNAL = ("_from_auto", "_from_pipeline", "_commit_hash")
_ARGUMENTS = (
    "subfolder",
    "revision",
    "token",
    "cache_dir",
    "force_download",
    "local_files_only",
    "proxies",
)

# Without a connection the Hub client tries each file for some 20 seconds. A model has a dozen files, most
# of them optional: one failure therefore speaks for the files that follow.
_WITHOUT_CONNECTION = 60.0  # seconds
_no_connection_until = 0.0


def split_arguments(kwargs: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Splits keywords of a `from_pretrained` into those of `find_file` and the rest.

    Arguments of v4.34 that have become meaningless are dropped; `use_auth_token` becomes `token`.

    Args:
        kwargs: any keywords; not changed.

    Returns:
        The arguments for `find_file`, and all other keywords.
    """
    rest = dict(kwargs)
    mine = {name: rest.pop(name) for name in _ARGUMENTS if name in rest}
    for name in _RETIRED + _RETIRED_INTERNAL:
        rest.pop(name, None)
    old_token = rest.pop("use_auth_token", None)
    if old_token is not None:
        warnings.warn("use_auth_token is called token now; please rename it.", FutureWarning, stacklevel=3)
        mine.setdefault("token", old_token)
    if mine.get("subfolder") is None:
        mine.pop("subfolder", None)
    return mine, rest


def find_file(
    name_or_path: str | os.PathLike,
    filenames: Sequence[str],
    *,
    subfolder: str = "",
    revision: str | None = None,
    token: str | bool | None = None,
    cache_dir: str | os.PathLike | None = None,
    force_download: bool = False,
    local_files_only: bool = False,
    proxies: Mapping[str, str] | None = None,
) -> Path | None:
    """Finds the first of several files in a local folder or in a Hub repository (downloaded into the cache).

    Args:
        name_or_path: a local folder, or else a Hub id such as "facebook/dpr-reader-single-nq-base".
        filenames: names to look for, the preferred one first; "/" is allowed, leaving the folder is not.
        subfolder: folder inside the folder or repository.
        revision: branch, tag or commit of the repository; a local folder has none.
        token: Hub token; `True` for the stored one.
        cache_dir: where downloads are kept; default: the Hub client's cache.
        force_download: download again although the cache has the file.
        local_files_only: use the cache only; the environment variable HF_HUB_OFFLINE=1 does the same.
        proxies: not supported by today's Hub client; must be empty for a Hub id.

    Returns:
        Path of the file, or None if the folder or repository has none of them. Without a connection, None
        can also mean that the cached copy of the repository has none of them.

    Raises:
        OSError: if there is no such folder, repository or revision; or it is not cached and out of reach.
        ValueError: if a file name or the subfolder leaves the folder, or `proxies` are given for a Hub id.
    """
    for part in (*filenames, subfolder):
        _check_inside(part)
    name = os.fspath(name_or_path)
    if not name:
        raise OSError("The name or path of the model is empty; give a local folder or a Hub id.")
    folder = Path(name)
    if folder.is_dir():
        candidates = (folder / subfolder / filename for filename in filenames)
        return next((path for path in candidates if path.is_file()), None)
    if folder.exists():
        raise OSError(f"{name} is a file; expected a folder that holds {_either(filenames)}, or a Hub id.")
    _check_repository_name(name_or_path)
    if proxies:
        raise ValueError(
            "The Hub client no longer takes proxies; set the environment variable HTTPS_PROXY instead."
        )
    download = {
        "subfolder": subfolder or None,
        "revision": revision,
        "token": token,
        "cache_dir": cache_dir,
        "force_download": force_download,
        "local_files_only": local_files_only,
    }
    return _find_on_hub(name, filenames, download)


def require_file(name_or_path: str | os.PathLike, filenames: Sequence[str], **hub_arguments: Any) -> Path:
    """`find_file`, with an OSError that says where was looked and what is there instead of None."""
    path = find_file(name_or_path, filenames, **hub_arguments)
    if path is not None:
        return path
    subfolder = hub_arguments.get("subfolder", "")
    where = Path(name_or_path) / subfolder
    if not Path(name_or_path).is_dir():
        at = f" at revision {hub_arguments['revision']!r}" if hub_arguments.get("revision") else ""
        within = f", folder {subfolder!r}" if subfolder else ""
        found = "it has no such file, or (without a connection) the cached copy lacks it"
        where = f"the Hub repository {name_or_path!r}{within}{at}"
    elif not where.is_dir():
        found = "there is no such folder"
    else:
        found = "it holds " + (", ".join(sorted(entry.name for entry in where.iterdir())[:20]) or "nothing")
    raise OSError(f"{where} does not appear to have a file named {_either(filenames)}: {found}.")


def push_folder(
    folder: str | os.PathLike,
    repo_id: str,
    *,
    commit_message: str | None = None,
    private: bool | None = None,
    token: str | bool | None = None,
    revision: str | None = None,
    create_pr: bool = False,
    allow_patterns: list[str] | None = None,
) -> str:
    """Uploads a folder to a Hub model repository, which is made if it does not exist.

    Args:
        folder: local folder.
        repo_id: "owner/name", or "name" for one's own account.
        commit_message: default "Upload model".
        private: make a new repository private.
        token: Hub token; default: the stored one.
        revision: branch to upload to, made if it does not exist; default: the main branch.
        create_pr: open a pull request instead of committing.
        allow_patterns: upload only files that match.

    Returns:
        Address of the pull request or the commit.

    Raises:
        OSError: if `folder` is no folder.
        huggingface_hub.errors.HfHubHTTPError: if the Hub refuses.
    """
    from huggingface_hub import HfApi

    if not Path(folder).is_dir():
        raise OSError(f"{folder} is not a folder; save the model first, then push the folder.")
    api = HfApi(token=token)
    repo_id = api.create_repo(repo_id, private=private, exist_ok=True).repo_id
    if revision is not None and not create_pr:
        api.create_branch(repo_id, branch=revision, exist_ok=True)
    commit = api.upload_folder(
        repo_id=repo_id,
        folder_path=Path(folder),
        commit_message=commit_message or "Upload model",
        revision=revision,
        create_pr=create_pr,
        allow_patterns=allow_patterns,
    )
    return str(commit.pr_url or commit.commit_url)


class Connection(NamedTuple):
    """Whether and how the Hub can be used.

    Attributes:
        endpoint: its address.
        offline: whether HF_HUB_OFFLINE forbids to use it.
        reachable: whether it answered.
        cache: the folder of downloads.
    """

    endpoint: str
    offline: bool
    reachable: bool
    cache: str


def connection(timeout: float = 5.0) -> Connection:
    """Tries to reach the Hub.

    Args:
        timeout: seconds to wait for an answer.
    """
    from huggingface_hub import constants
    from huggingface_hub.utils import get_session

    reachable = False
    if not constants.HF_HUB_OFFLINE:
        try:
            get_session().head(constants.ENDPOINT, timeout=timeout)
            reachable = True
        except Exception:  # of an HTTP library that depends on the client's version
            reachable = False
    return Connection(constants.ENDPOINT, constants.HF_HUB_OFFLINE, reachable, constants.HF_HUB_CACHE)


def _find_on_hub(repo_id: str, filenames: Sequence[str], download: dict[str, Any]) -> Path | None:
    from huggingface_hub import errors

    unreachable = None
    for filename in filenames:
        try:
            return _download(repo_id, filename, download)
        except errors.LocalEntryNotFoundError as error:
            unreachable = error
        except errors.EntryNotFoundError:
            continue
        except errors.HfHubHTTPError as error:
            raise OSError(f"{_refusal(error, repo_id, filename, download)} ({_first_line(error)})") from error
    if unreachable is not None and not _is_cached(repo_id, download):
        raise OSError(
            f"{repo_id!r} is not a local folder, is not in the download cache, and the Hub cannot be used: "
            "there is no connection, or local_files_only=True or HF_HUB_OFFLINE is set. Check the path, or "
            f"connect once to download it. ({_first_line(unreachable)})"
        ) from unreachable
    return None


def _download(repo_id: str, filename: str, download: dict[str, Any]) -> Path:
    """One file through the cache. After a failed connection, the cache alone is asked for a while."""
    global _no_connection_until
    from huggingface_hub import errors, hf_hub_download

    # The base error of the HTTP library that this version of the client is built on (httpx, httpx2).
    transport_error: Any = errors.HfHubHTTPError.__bases__[0]
    if time.monotonic() < _no_connection_until and not download["force_download"]:
        download = {**download, "local_files_only": True}
    try:
        return Path(hf_hub_download(repo_id, filename, **download))
    except errors.LocalEntryNotFoundError as error:
        if isinstance(error.__cause__, transport_error):
            _no_connection_until = time.monotonic() + _WITHOUT_CONNECTION
        raise
    except (errors.EntryNotFoundError, errors.HfHubHTTPError):
        raise
    except transport_error as error:
        _no_connection_until = time.monotonic() + _WITHOUT_CONNECTION
        if download["force_download"]:
            raise OSError(_no_force(repo_id, error)) from error
        return Path(hf_hub_download(repo_id, filename, **{**download, "local_files_only": True}))
    except ValueError as error:  # what the client makes of any failure while force_download is on
        cause = error.__cause__
        if cause is None:
            raise
        if isinstance(cause, errors.HfHubHTTPError):
            raise cause from None
        raise OSError(_no_force(repo_id, cause)) from error


def _no_force(repo_id: str, cause: BaseException) -> str:
    return (
        f"force_download=True needs a connection to the Hub, and there is none for {repo_id!r}; leave it "
        f"out to use the cache. ({_first_line(cause)})"
    )


def _refusal(error: Exception, repo_id: str, filename: str, download: dict[str, Any]) -> str:
    from huggingface_hub import errors

    if isinstance(error, errors.GatedRepoError):
        return (
            f"Access to the Hub repository {repo_id!r} is restricted. Ask for access on its page, then "
            "log in with `hf auth login` or pass token=."
        )
    if isinstance(error, errors.RepositoryNotFoundError):
        return (
            f"{repo_id!r} is neither a local folder nor a model on the Hub that you may see. Check the "
            "spelling; for a private model log in with `hf auth login` or pass token=."
        )
    if isinstance(error, errors.RevisionNotFoundError):
        return (
            f"The Hub repository {repo_id!r} has no revision {download['revision']!r}; leave revision= out "
            "for the main branch, or take a branch, tag or commit from its page."
        )
    return f"The Hub did not give {filename} of {repo_id!r}."


def _is_cached(repo_id: str, download: dict[str, Any]) -> bool:
    """Whether the cache has any file of the repository at that revision."""
    from huggingface_hub import errors, snapshot_download

    try:
        snapshot_download(
            repo_id, revision=download["revision"], cache_dir=download["cache_dir"], local_files_only=True
        )
    except errors.LocalEntryNotFoundError:
        return False
    return True


def _check_inside(relative: str) -> None:
    """Refuses names that would leave the folder, whichever system's separators they use."""
    for path in (PurePosixPath(relative), PureWindowsPath(relative)):
        if path.is_absolute() or path.drive or path.root or ".." in path.parts:
            raise ValueError(
                f"The file name {relative!r} leads out of the model's folder; it must stay inside."
            )


def _check_repository_name(name_or_path: str | os.PathLike) -> None:
    from huggingface_hub.utils import HFValidationError, validate_repo_id

    try:
        if not isinstance(name_or_path, str):
            raise HFValidationError("a path object always means a local folder")
        validate_repo_id(name_or_path)
    except HFValidationError as error:
        raise OSError(
            f"There is no folder {os.fspath(name_or_path)!r}, and it cannot be a Hub id: check the path. "
            f"({_first_line(error)})"
        ) from None


def _either(filenames: Sequence[str]) -> str:
    return " or ".join(filenames)


def _first_line(error: BaseException) -> str:
    return str(error).strip().split("\n", 1)[0]
