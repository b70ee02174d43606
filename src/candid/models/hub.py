"""Hub snapshots, pinned to a commit. Without a network: what the cache holds, or one clear line, at once."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from candid.errors import InputError

__all__ = ["Repository", "fetch", "locate"]

PATIENCE = 10.0  # seconds for the Hub's first answer; the library's own retries add up to 23
COMMIT = re.compile(r"[0-9a-f]{40}")
SMALL = re.compile(r"[^/]+\.(json|txt|model)")
SAFETENSORS = re.compile(r"model[^/]*\.safetensors")
PYTORCH = re.compile(r"pytorch_model[^/]*\.bin")


@dataclass(frozen=True)
class Repository:
    """A Hub model at one commit: its config on disk, and the files still to fetch (none where the cache serves)."""

    id: str
    commit: str
    config: Path
    files: tuple[str, ...]


def locate(repo: str, revision: str | None) -> Repository:
    """The repository at the commit `revision` (a commit, branch or tag) stands for now, with its config fetched."""
    if revision is not None and COMMIT.fullmatch(revision) and (cached := _cached(repo, revision)):
        return cached  # a commit never changes, so there is nothing to ask
    from huggingface_hub import HfApi, hf_hub_download
    from huggingface_hub import errors as hub_errors

    try:
        info = HfApi().model_info(repo, revision=revision, timeout=PATIENCE)
    except hub_errors.HFValidationError as error:
        raise InputError(f"{repo} is not a Hub id: {error}") from error
    except hub_errors.GatedRepoError as error:
        raise InputError(f"{repo} is gated; accept its terms on its page, then run `hf auth login`") from error
    except hub_errors.RepositoryNotFoundError as error:
        raise InputError(f"the Hub has no public model {repo}; check the spelling, or run `hf auth login`") from error
    except hub_errors.RevisionNotFoundError as error:
        raise InputError(f"{repo} has no revision {revision}; expected a branch, a tag or a commit of 40 digits") from error
    except (hub_errors.HTTPError, OSError) as error:  # type: ignore[attr-defined]  # the client's own root, not re-exported
        if cached := _cached(repo, revision):
            return cached
        raise InputError(_unreachable(repo, revision, error)) from error
    names = _needed([sibling.rfilename for sibling in info.siblings or ()])
    if "config.json" not in names:
        raise InputError(f"{repo} has no config.json, so it is not a checkpoint in the transformers format")
    commit = str(info.sha)
    return Repository(repo, commit, Path(hf_hub_download(repo, "config.json", revision=commit)), names)


def fetch(repository: Repository) -> Path:
    """The folder of the snapshot, with every needed file in it."""
    if not repository.files:
        return repository.config.parent
    from huggingface_hub import errors as hub_errors
    from huggingface_hub import snapshot_download

    try:
        return Path(
            snapshot_download(repository.id, revision=repository.commit, allow_patterns=list(repository.files))
        )
    except (hub_errors.HTTPError, OSError) as error:  # type: ignore[attr-defined]  # as above
        raise InputError(_unreachable(repository.id, repository.commit, error)) from error


def _needed(names: Sequence[str]) -> tuple[str, ...]:
    """Config, tokenizer and preprocessing files, and one set of weights."""
    weights = [n for n in names if SAFETENSORS.fullmatch(n)] or [n for n in names if PYTORCH.fullmatch(n)]
    return tuple(sorted({n for n in names if SMALL.fullmatch(n)} | set(weights)))


def _cached(repo: str, revision: str | None) -> Repository | None:
    """The snapshot in the local cache, if its config and some weights are there."""
    from huggingface_hub import try_to_load_from_cache

    config = try_to_load_from_cache(repo, "config.json", revision=revision)
    if not isinstance(config, str):
        return None
    folder = Path(config).parent
    present = [path.name for path in folder.iterdir()]
    if not any(SAFETENSORS.fullmatch(name) or PYTORCH.fullmatch(name) for name in present):
        return None
    return Repository(repo, folder.name, Path(config), ())


def _unreachable(repo: str, revision: str | None, error: Exception) -> str:
    wanted = f"{repo}@{revision}" if revision else repo
    cause = str(error).splitlines()[0] if str(error) else type(error).__name__
    return f"cannot reach the Hub for {wanted}, and the local cache has no copy ({cause}); connect once, or pass a folder"
