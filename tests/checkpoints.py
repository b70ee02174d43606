"""Tiny random checkpoints, saved in the Hub's own format by its own framework: `clip_checkpoint(folder)` and so on."""

import io
import json
from pathlib import Path

import sentencepiece
import torch

from candid.models.framework import quiet, transformers

SENTENCE = "a photo of the cat dog boat plane tree bird in red blue big small origami video game art . , ! ?"
WORDS = SENTENCE.split()
SIZE = 32  # pixels a side of the images
CONTEXT = 16  # tokens
PIECES = 50  # of the sentencepiece vocabulary
DIM = 24  # dimensions of the vectors
BIAS = -7.5  # of the sigmoid models
SCALE = 3.25  # log of the logit scale: exp(3.25) = 25.79, far from the customary 100


def clip_checkpoint(folder: Path, *, seed: int = 0, eos: int | None = None) -> Path:
    """A CLIP of two layers a tower. `eos` writes another eos_token_id into the config: 2 marks the first releases."""
    tokenizer = clip_tokenizer()
    end = tokenizer.eos_token_id
    config = transformers().CLIPConfig(
        text_config=_tower(max_position_embeddings=CONTEXT, vocab_size=len(tokenizer))
        | {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": end if eos is None else eos, "pad_token_id": end},
        vision_config=_tower(image_size=SIZE, patch_size=8),
        projection_dim=DIM,
        logit_scale_init_value=SCALE,
    )
    _save(_random(transformers().CLIPModel, config, seed), tokenizer, folder)
    _image_processor(folder, "CLIPImageProcessor", size={"shortest_edge": SIZE}, do_center_crop=True, crop_size=SIZE)
    return folder


def clip_tokenizer():
    """A CLIP tokenizer whose merges join letters to a few words: other text falls to letters, like the real one."""
    letters = "abcdefghijklmnopqrstuvwxyz0123456789.,!?-_'{}"
    vocab = {token: i for i, token in enumerate([*letters, *(f"{c}</w>" for c in letters)])}
    merges = []
    for word in WORDS:
        left = word[0]
        for i, letter in enumerate(word[1:], start=1):
            right = letter + ("</w>" if i == len(word) - 1 else "")
            if left + right not in vocab:
                vocab[left + right] = len(vocab)
                merges.append((left, right))
            left += right
    for special in ("<|startoftext|>", "<|endoftext|>"):
        vocab[special] = len(vocab)
    with quiet():
        return transformers().CLIPTokenizer(vocab=vocab, merges=merges, model_max_length=CONTEXT)


def siglip_checkpoint(folder: Path, *, seed: int = 0) -> Path:
    """A SigLIP of two layers a tower, with a sentencepiece tokenizer and no attention mask, as the published ones."""
    _save(_random(transformers().SiglipModel, _siglip_config("siglip", PIECES), seed), siglip_tokenizer(folder), folder)
    _image_processor(folder, "SiglipImageProcessor", size={"height": SIZE, "width": SIZE})
    return folder


def siglip2_checkpoint(folder: Path, *, seed: int = 0) -> Path:
    """A SigLIP 2 at a fixed resolution: the SigLIP model with Gemma's tokenizer, as the published ones."""
    tokenizer = gemma_tokenizer("GemmaTokenizer")
    config = _siglip_config("siglip", len(tokenizer))
    _save(_random(transformers().SiglipModel, config, seed), tokenizer, folder)
    _image_processor(folder, "SiglipImageProcessor", size={"height": SIZE, "width": SIZE}, resample=2)
    return folder


def naflex_checkpoint(folder: Path, *, seed: int = 0) -> Path:
    """A SigLIP 2 at native aspect ratio: at most 16 patches of 8 pixels an image."""
    tokenizer = gemma_tokenizer("Siglip2Tokenizer")
    config = _siglip_config("siglip2", len(tokenizer))
    _save(_random(transformers().Siglip2Model, config, seed), tokenizer, folder)
    _image_processor(folder, "Siglip2ImageProcessor", patch_size=8, max_num_patches=16, resample=2)
    return folder


def siglip_tokenizer(folder: Path):
    """A sentencepiece tokenizer trained on a few words; its file lies in the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([SENTENCE, "abcdefghijklmnopqrstuvwxyz", *WORDS]),
        model_writer=model,
        vocab_size=PIECES,
        unk_id=2,
        eos_id=1,
        pad_id=0,
        bos_id=-1,
        minloglevel=2,
        num_threads=1,
    )
    (folder / "spiece.model").write_bytes(model.getvalue())
    with quiet():
        file = str(folder / "spiece.model")
        return transformers().SiglipTokenizer(file, model_input_names=["input_ids"], model_max_length=CONTEXT)


def gemma_tokenizer(kind: str):
    """Byte-fallback BPE with an end token and padding on the right, as SigLIP 2's checkpoints set Gemma's up."""
    vocab = {token: i for i, token in enumerate(("<pad>", "<eos>", "<bos>", "<unk>", "<mask>"))}
    for token in [*"\u2581abcdefghijklmnopqrstuvwxyzACDP.,", *(f"<0x{byte:02X}>" for byte in range(256))]:
        vocab[token] = len(vocab)
    merges = [("\u2581", "a"), ("c", "a"), ("ca", "t"), ("d", "o"), ("do", "g")]
    for left, right in merges:
        vocab[left + right] = len(vocab)
    settings = {
        "add_bos_token": False,
        "add_eos_token": True,
        "padding_side": "right",
        "model_input_names": ["input_ids"],
    }
    with quiet():
        return getattr(transformers(), kind)(vocab=vocab, merges=merges, model_max_length=CONTEXT, **settings)


def _siglip_config(kind: str, words: int):
    text = _tower(max_position_embeddings=CONTEXT, vocab_size=words, projection_size=32)
    text |= {"pad_token_id": 0, "bos_token_id": None, "eos_token_id": 1}
    if kind == "siglip":
        return transformers().SiglipConfig(text_config=text, vision_config=_tower(image_size=SIZE, patch_size=8))
    return transformers().Siglip2Config(text_config=text, vision_config=_tower(num_patches=16, patch_size=8))


def _random(kind, config, seed: int):
    """A model with weights large enough that no two texts or images look alike to it."""
    with torch.random.fork_rng(), quiet():
        torch.manual_seed(seed)
        model = kind(config)
        with torch.no_grad():
            for name, weight in model.named_parameters():
                if weight.ndim > 1:
                    weight.normal_(std=0.15 if "embedding" not in name else 0.5)
            if hasattr(model, "logit_bias"):
                model.logit_scale.fill_(SCALE)
                model.logit_bias.fill_(BIAS)
    return model


def _tower(**own: object) -> dict[str, object]:
    return {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, **own}


def _save(model, tokenizer, folder: Path) -> None:
    transformers().utils.logging.disable_progress_bar()
    with quiet():
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)


def _image_processor(folder: Path, kind: str, **settings: object) -> None:
    mean, std = [0.5] * 3, [0.5] * 3
    if kind == "CLIPImageProcessor":
        mean, std = [0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711]
    steps = dict.fromkeys(("do_resize", "do_rescale", "do_normalize", "do_convert_rgb"), True)
    content = {"image_processor_type": kind, **steps, "resample": 3, "image_mean": mean, "image_std": std, **settings}
    (folder / "preprocessor_config.json").write_text(json.dumps(content, indent=2))
