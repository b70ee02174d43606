"""The two towers of `tiny` in the Hub's CLIP classes, their tokenizer, and the small convolutional teacher."""

from collections.abc import Iterable

import torch
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers
from torch import Tensor, nn
from transformers import CLIPConfig, CLIPModel, CLIPTokenizer

SIDE, PATCH, WIDTH, DIM, VOCABULARY, CONTEXT = 64, 8, 192, 256, 4096, 77
START, END = "<|startoftext|>", "<|endoftext|>"


def tokenizer(texts: Iterable[str], *, size: int = VOCABULARY) -> CLIPTokenizer:
    """CLIP's byte-level BPE, its merges learnt from `texts`. Every byte can open, continue and close a word."""
    learner = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    learner.normalizer = normalizers.Sequence(
        [normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()]
    )
    words = Regex(r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+")
    learner.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(words, "removed", invert=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    trainer = trainers.BpeTrainer(
        vocab_size=size - 2 - 256,  # the closing form of every byte is added below
        end_of_word_suffix="</w>",
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    learner.train_from_iterator(texts, trainer)
    merges = [tuple(pair) for pair in __import__("json").loads(learner.to_str())["model"]["merges"]]
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokens = [*letters, *(f"{letter}</w>" for letter in letters), *(a + b for a, b in merges)]
    tokens = [*list(dict.fromkeys(tokens))[: size - 2], START, END]
    known = set(tokens)
    merges = [pair for pair in merges if set(pair) <= known and "".join(pair) in known]
    vocab = {token: i for i, token in enumerate(tokens)}
    return CLIPTokenizer(vocab=vocab, merges=merges, model_max_length=CONTEXT)


def clip(vocabulary: int) -> CLIPModel:
    """An untrained CLIP: 64 px ViT with 8 px patches, causal text transformer, both 192 wide."""
    shared = {"hidden_size": WIDTH, "intermediate_size": 4 * WIDTH, "num_attention_heads": 3, "hidden_act": "gelu"}
    config = CLIPConfig(
        text_config=shared
        | {
            "num_hidden_layers": 4,
            "vocab_size": vocabulary,
            "max_position_embeddings": CONTEXT,
            "bos_token_id": vocabulary - 2,
            "eos_token_id": vocabulary - 1,
            "pad_token_id": vocabulary - 1,
            "projection_dim": DIM,
        },
        vision_config=shared | {"num_hidden_layers": 6, "image_size": SIDE, "patch_size": PATCH, "projection_dim": DIM},
        projection_dim=DIM,
    )
    return CLIPModel(config)


def encode_text(model: CLIPModel, tokens: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """(pooled at the end token n x width, projected n x dim)."""
    pooled = model.text_model(input_ids=tokens, attention_mask=mask).pooler_output
    return pooled, model.text_projection(pooled)


def encode_patches(model: CLIPModel, pixels: Tensor, keep: float, generator: torch.Generator) -> Tensor:
    """Projected features of a random share `keep` of the patches (FLIP, Li et al. 2023, arxiv.org/abs/2212.00794)."""
    vision = model.vision_model
    hidden = vision.embeddings(pixels)
    if keep < 1:
        n, patches = hidden.shape[0], hidden.shape[1] - 1
        order = torch.rand(n, patches, generator=generator).argsort(1)[:, : int(keep * patches)] + 1
        index = torch.cat([torch.zeros(n, 1, dtype=order.dtype), order], 1)
        hidden = torch.gather(hidden, 1, index[:, :, None].expand(-1, -1, hidden.shape[2]))
    hidden = vision.encoder(inputs_embeds=vision.pre_layrnorm(hidden)).last_hidden_state
    return model.visual_projection(vision.post_layernorm(hidden[:, 0]))


class Block(nn.Module):
    """Two 3 x 3 convolutions around a skip."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(unit(width, width), nn.Conv2d(width, width, 3, padding=1, bias=False))
        self.norm = nn.BatchNorm2d(width)

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.gelu(x + self.norm(self.body(x)))


def unit(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    convolution = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs), nn.GELU())


def teacher() -> nn.Sequential:
    """A 32 px convolutional image tower of 1.1 M parameters: learns fast on one core, then teaches the ViT."""
    return nn.Sequential(
        nn.AvgPool2d(2),
        unit(3, 48, 2),
        Block(48),
        unit(48, 96, 2),
        Block(96),
        unit(96, 192, 2),
        Block(192),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(192, DIM),
    )
