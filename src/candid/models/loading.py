"""`load`: one door to every model. Rows of `MODELS` say which file knows which `model_type`."""

from collections.abc import Callable
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any, Literal

from candid.errors import InputError, nearest
from candid.models import source
from candid.models.families import FAMILIES
from candid.types import Classifier, Encoder, ImageEncoder

__all__ = ["MODELS", "load", "load_encoder"]

Dtype = Literal["auto", "float32", "float16", "bfloat16"]

OPEN_CLIP = "open_clip:"
PLUGINS = "candid.models"  # entry-point group: name = the config's model_type, value = module:function

MODELS: dict[str, str] = {
    "candid-tuned": "candid.models.tuned:load",
    "cifar-resnet": "candid.models.cifar:load",
    "clip": "candid.models.clip:load",
    "siglip": "candid.models.siglip:load",
    "siglip2": "candid.models.naflex:load",
    "vision-text-dual-encoder": "candid.models.dual_encoder:load",
    "wide-resnet": "candid.models.cifar:load",
    **dict.fromkeys(FAMILIES, "candid.models.classifier:load"),
}


def load(
    name: str, *, revision: str | None = None, device: str = "auto", dtype: Dtype = "auto"
) -> Encoder | Classifier:
    """The model called `name`, ready to encode: images and texts, or images for a supervised network's own head.

    `name` is a Hub id ("openai/clip-vit-base-patch32", also "id@revision"), a local folder in the Hub's format, "tiny"
    (embedded in the package), or "open_clip:NAME/TAG" where TAG may be the path of a checkpoint. `revision` pins a
    commit, branch or tag of the Hub, or the content hash of a local folder. `device` "auto" takes CUDA, then Apple's
    GPU, then the CPU. `dtype` "auto" keeps float32 weights, with float16 autocast on CUDA; vectors are float32 always.

    >>> load("tinny")
    Traceback (most recent call last):
    ...
    candid.errors.InputError: no model named tinny; did you mean tiny? (a Hub id is org/name)
    """
    if name.startswith(OPEN_CLIP):
        if revision is not None:
            raise InputError(
                f"open_clip tags name the weights themselves, got revision {revision!r} for {name}; drop it"
            )
        build: Callable[..., Encoder | Classifier] = _function("candid.models.open_clip:load")
        return build(name.removeprefix(OPEN_CLIP), device=device, dtype=dtype)
    found = source.find(name, revision)
    build = _builder(found.config.get("model_type"), name)
    return build(source.complete(found), device=device, dtype=dtype)


def load_encoder(
    name: str, *, revision: str | None = None, device: str = "auto", dtype: Dtype = "auto"
) -> ImageEncoder:
    """Like `load`, and also encoders that know neither texts nor classes, such as "facebook/dinov2-large".

    >>> load_encoder("tiny").dim
    256
    """
    if not name.startswith(OPEN_CLIP):
        found = source.find(name, revision)
        if found.config.get("model_type") in FAMILIES and not _headed(found.config):
            build: Callable[..., ImageEncoder] = _function("candid.models.backbone:load")
            return build(source.complete(found), device=device, dtype=dtype)
    return load(name, revision=revision, device=device, dtype=dtype)


def _headed(config: dict[str, Any]) -> bool:
    named = config.get("architectures") or [""]
    return str(named[0]).endswith("ForImageClassification")


def _builder(model_type: Any, name: str) -> Callable[..., Encoder | Classifier]:
    known = dict(MODELS)
    if model_type not in known:
        known |= {plugin.name: plugin.value for plugin in entry_points(group=PLUGINS)}
    if model_type not in known:
        raise InputError(f"{name} is a model of type {model_type!r}, which has no adapter here; {nearest('', known)}")
    build: Callable[..., Encoder | Classifier] = _function(known[model_type])
    return build


def _function(reference: str) -> Any:
    module, _, function = reference.partition(":")
    return getattr(import_module(module), function)
