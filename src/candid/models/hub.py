"""Hub snapshots, pinned to a commit. Without a network: what the cache holds, or one clear line, at once."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from candid.errors import InputError

__all__ = ["Repository", "fetch", "locate", "weight_names"]

PATIENCE = 10.0  # seconds for the Hub's first answer; the library's own retries add up to 23
COMMIT = re.compile(r"[0-9a-f]{40}")
SMALL = re.compile(r"[^/]+\.(json|txt|model)")
WEIGHTS = (  # the first kind that is there is the one that is read
    re.compile(r"model(-\d+-of-\d+)?\.safetensors"),
    re.compile(r"pytorch_model(-\d+-of-\d+)?\.bin"),
)


@dataclass(frozen=True)
class Repository:
    """A Hub model at one commit: its config on disk, and the files to fetch (none where the cache serves)."""

    id: str
    commit: str
    config: Path
    files: tuple[str, ...]


def locate(repo: str, revision: str | None) -> Repository:
    """The repository at the commit `revision` (a commit, branch or tag) stands for now, with its config fetched."""
    if revision is not None and COMMIT.fullmatch(revision) and (cached := _cached(repo, revision)):
        return cached  # a commit never changes, so there is nothing to ask
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HTTPError  # type: ignore[attr-defined]  # the client's own root of errors

    try:
        needed = _needed(_listing(repo, revision))
        if "config.json" not in needed:
            raise InputError(f"{repo} has no config.json, so it is not a checkpoint in the transformers format")
        # Asked for by the revision's own name, so that the cache learns which commit the name stands for.
        config = Path(hf_hub_download(repo, "config.json", revision=revision))
    except (HTTPError, OSError) as error:
        if cached := _cached(repo, revision):
            return cached
        raise InputError(_unreachable(repo, revision, error)) from error
    return Repository(repo, config.parent.name, config, needed)


def _listing(repo: str, revision: str | None) -> list[str]:
    """Names of the repository's files, in one request without retries."""
    from huggingface_hub import HfApi
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
        wanted = "expected a branch, a tag or a commit of 40 digits"
        raise InputError(f"{repo} has no revision {revision}; {wanted}") from error
    return [sibling.rfilename for sibling in info.siblings or ()]


def fetch(repository: Repository) -> Path:
    """The folder of the snapshot, with every needed file in it."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HTTPError  # type: ignore[attr-defined]  # as above

    try:
        for name in repository.files:
            hf_hub_download(repository.id, name, revision=repository.commit)
    except (HTTPError, OSError) as error:
        raise InputError(_unreachable(repository.id, repository.commit, error)) from error
    return repository.config.parent


def _needed(names: Sequence[str]) -> tuple[str, ...]:
    """Config, tokenizer and preprocessing files, then one set of weights: where those lie, all else does."""
    return (*sorted(n for n in names if SMALL.fullmatch(n)), *weight_names(names))


def weight_names(names: Sequence[str]) -> tuple[str, ...]:
    """Those of the names that hold the weights: safetensors where there are any, else PyTorch's own.

    >>> weight_names(["config.json", "model.safetensors", "pytorch_model.bin"])
    ('model.safetensors',)
    """
    found = (tuple(sorted(n for n in names if kind.fullmatch(n))) for kind in WEIGHTS)
    return next((some for some in found if some), ())


def _cached(repo: str, revision: str | None) -> Repository | None:
    """The snapshot in the local cache, if all of its weights are there."""
    from huggingface_hub import try_to_load_from_cache

    config = try_to_load_from_cache(repo, "config.json", revision=revision)
    if not isinstance(config, str):
        return None
    folder = Path(config).parent
    return Repository(repo, folder.name, Path(config), ()) if _has_weights(folder) else None


def _has_weights(folder: Path) -> bool:
    for single in ("model.safetensors", "pytorch_model.bin"):
        index = folder / f"{single}.index.json"
        shards = set(json.loads(index.read_text())["weight_map"].values()) if index.exists() else {single}
        if all((folder / shard).exists() for shard in shards):
            return True
    return False


def _unreachable(repo: str, revision: str | None, error: Exception) -> str:
    wanted = f"{repo}@{revision}" if revision else repo
    cause = str(error).splitlines()[0] if str(error) else type(error).__name__
    return (
        f"cannot reach the Hub for {wanted}, and the local cache has no copy ({cause}); connect once, or pass a folder"
    )
