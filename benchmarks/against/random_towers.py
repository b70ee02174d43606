"""CLIP text towers of true size with random weights, and prompts of classes with names of given lengths."""

import torch

__all__ = ["NAMES", "SIZES", "VOCABULARY", "Holder", "candid_prompts", "lengths_of", "names_of", "tower"]

NAMES = {"four": [4], "ragged": [1, 1, 2, 2, 2, 3, 3, 4, 6, 8]}  # tokens of a name, in turn; mean 4 and 3.2
SIZES = {"ViT-B/32": (512, 12, 8), "ViT-B/16": (512, 12, 8), "tiny": (192, 4, 3)}
VOCABULARY = 5000


class Holder:
    """As much of a loaded model as candid's tower asks for."""

    id = "random"
    scale, bias, activation, dim = 100.0, 0.0, "softmax", 512

    def __init__(self, model) -> None:
        self.module = model

    def token_table(self, module):
        return module.text_model.embeddings.token_embedding

    def text_parameters(self, module):
        return dict(module.named_parameters())

    def text_tower(self, texts, module):
        raise NotImplementedError


def tower(size: str, classes: int, names: str, length: int, device: str):
    """The model, and token ids (classes, 77) with a placeholder for `length` context tokens after the first."""
    import transformers

    transformers.utils.logging.set_verbosity_error()
    width, layers, heads = SIZES[size]
    text = {"vocab_size": VOCABULARY, "hidden_size": width, "intermediate_size": 4 * width, "num_hidden_layers": layers,
            "num_attention_heads": heads, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 2}  # fmt: skip
    small = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}
    torch.manual_seed(0)
    config = transformers.CLIPConfig(text_config=text, vision_config=small, projection_dim=512)
    model = transformers.CLIPModel(config).eval().requires_grad_(False).to(device)
    ids = torch.full((classes, 77), 2)
    ids[:, 0] = 1
    ids[:, 1 : 1 + length] = 4
    for i, name in enumerate(names_of(lengths_of(classes, names))):
        ids[i, 1 + length : 2 + length + len(name)] = torch.tensor([*name, 3])
    return model, ids.to(device)


def lengths_of(classes: int, names: str) -> list[int]:
    return [NAMES[names][i % len(NAMES[names])] for i in range(classes)]


def names_of(lengths: list[int]) -> list[tuple[int, ...]]:
    return [tuple(10 + (31 * i + 7 * j) % (VOCABULARY - 10) for j in range(n)) for i, n in enumerate(lengths)]


def candid_prompts(model, lengths: list[int], length: int):
    """The same prompts for candid's tower."""
    from candid.models.text_layers import text_layers
    from candid.tune.prompts import Prompts
    from candid.tune.towers import TextTower
    from candid.tune.wording import Wording

    ids = names_of(lengths)
    wording = Wording(tuple(map(str, range(len(lengths)))), (1,), length, 0, tuple(ids), ((3, 2),) * len(ids), ())
    return Prompts(TextTower(Holder(model), model, 77, "", text_layers(model)), wording)
