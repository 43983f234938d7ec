"""Uploads a folder to a model repository of the Hugging Face hub, through huggingface_hub.

It obeys HF_ENDPOINT, HF_TOKEN (or `hf auth login`) and HF_HUB_OFFLINE. A commit has all files or none: after
an interrupted upload the repository is as before, and the hub keeps the large files that were complete.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from text2sql.errors import RERUN, UserError

_TOKEN = "`hf auth login`, or set HF_TOKEN to a token with write permission (huggingface.co/settings/tokens)"
_REFUSED = (401, 403)


def check_repository(repo: str) -> None:
    """Check that `repo` can be the name of a repository, owner/name.

    Raises:
        UserError: it cannot.
    """
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    try:
        validate_repo_id(repo)
        wrong = "" if re.fullmatch(r"[^/]+/[^/]+", repo) else "it has no owner"
    except HFValidationError as error:
        wrong = str(error).splitlines()[0].rstrip(".:")
    if wrong:
        raise UserError(f"REPO={repo}: not a name of a repository, which is owner/name ({wrong})")


def require_token() -> None:
    """Check that there is a token.

    Raises:
        UserError: there is none.
    """
    from huggingface_hub import get_token

    if not get_token():
        raise UserError(f"there is no token for the hub; {_TOKEN}")


def push(folder: Path, repo: str, message: str) -> str:
    """Upload the files of `folder` in one commit to `repo`, which is made if it does not exist.

    Returns the address of the commit. Files of the repository that `folder` does not have stay.

    Raises:
        UserError: there is no token, the hub refuses it or the card, or it cannot be reached.
    """
    from huggingface_hub import HfApi

    check_repository(repo)
    require_token()
    with _sentences(repo):
        api = HfApi()
        api.create_repo(repo, exist_ok=True)
        done = api.upload_folder(repo_id=repo, folder_path=folder, commit_message=message)
    return str(done.commit_url)


@contextmanager
def _sentences(repo: str) -> Iterator[None]:
    """Turn the errors of huggingface_hub into ones that name the remedy.

    Raises:
        UserError: the hub, the network, the token or the card is at fault.
    """
    import httpx
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

    try:
        yield
    except OfflineModeIsEnabled as error:
        raise UserError(f"{repo}: HF_HUB_OFFLINE is set, so nothing can be pushed; unset it") from error
    except HfHubHTTPError as error:
        raise UserError(f"{repo}: {_answered(error.response.status_code, error)}") from error
    except (httpx.HTTPError, OSError, RuntimeError) as error:  # RuntimeError: around one file's error
        cause = error.__cause__ if isinstance(error.__cause__, HfHubHTTPError) else None
        if cause is not None and cause.response.status_code in _REFUSED:
            raise UserError(f"{repo}: {_answered(cause.response.status_code, cause)}") from error
        raise UserError(
            f"{repo}: the upload was interrupted ({_first(error)}), and the repository is unchanged; "
            f"{RERUN}: large files that are there already are not sent again"
        ) from error
    except ValueError as error:  # huggingface_hub checks the card with the hub before it uploads
        raise UserError(f"{repo}: the hub refuses the files: {_first(error)}") from error


def _answered(status: int, error: Exception) -> str:
    """What is wrong by the status of the hub's answer."""
    if status in _REFUSED:
        return (
            f"the hub refuses the token (status {status}); it needs write permission for the owner: {_TOKEN}"
        )
    if status >= 500:
        return f"the hub fails (status {status}), and the repository is unchanged; {RERUN} later"
    return f"the hub answers with status {status} ({_first(error)}); fix that, then {RERUN}"


def _first(error: BaseException) -> str:
    """The first two lines of an error; its type if it has none."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return " ".join(lines[:2]) or type(error).__name__
