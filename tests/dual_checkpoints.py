"""Tiny random dual encoders, saved in the Hub's own format by its own framework: `dual_checkpoint(folder, towers)`."""

from pathlib import Path

import torch
from checkpoints import CONTEXT, DIM, SCALE, SIZE, WORDS, clip_tokenizer
from classifier_checkpoints import NETWORKS, liven

from candid.models.framework import quiet, transformers

WIDTHS = {"convnext": 16, "resnet": 16, "regnet": 16}  # of their last stage; their configs have no hidden_size


def dual_checkpoint(folder: Path, image: str, text: str, *, seed: int = 0) -> Path:
    """A `VisionTextDualEncoderModel` of the image network `image` and the text network `text`, with its processor."""
    hf = transformers()
    tokenizer = {"clip": clip_tokenizer, "bert": bert_tokenizer, "roberta": roberta_tokenizer}[text]()
    with torch.random.fork_rng(), quiet():
        torch.manual_seed(seed)
        config = hf.VisionTextDualEncoderConfig.from_vision_text_configs(
            _image(image), _text(text, tokenizer), projection_dim=DIM, logit_scale_init_value=SCALE
        )
        if image in WIDTHS:
            config.vision_config.hidden_size = WIDTHS[image]
        model = hf.VisionTextDualEncoderModel(config).eval()
        liven(model)
        hf.utils.logging.disable_progress_bar()
        model.save_pretrained(folder)
        hf.VisionTextDualEncoderProcessor(image_processor(image), tokenizer).save_pretrained(folder)
    return folder


def image_processor(image: str):
    """The image processor that the published checkpoints of this network carry."""
    hf = transformers()
    if image in WIDTHS:
        return hf.ConvNextImageProcessorPil(size={"shortest_edge": SIZE}, crop_pct=0.875, resample=3)
    if image == "clip":
        return hf.CLIPImageProcessorPil(size={"shortest_edge": SIZE}, crop_size={"height": SIZE, "width": SIZE})
    return hf.ViTImageProcessorPil(size={"height": SIZE, "width": SIZE})


def bert_tokenizer():
    """A word-piece tokenizer that knows a few words and their letters."""
    letters = "abcdefghijklmnopqrstuvwxyz.,!?"
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters, *(f"##{c}" for c in letters), *WORDS]
    vocab = {token: i for i, token in enumerate(dict.fromkeys(tokens))}
    with quiet():
        return transformers().BertTokenizer(vocab=vocab, model_max_length=CONTEXT)


def roberta_tokenizer():
    """A byte-level tokenizer without merges."""
    signs = ["<s>", "<pad>", "</s>", "<unk>", "<mask>", "\u0120", *"abcdefghijklmnopqrstuvwxyz.,!?"]
    with quiet():  # its files name no longest text, as some published ones do not
        return transformers().RobertaTokenizer(vocab={sign: i for i, sign in enumerate(signs)}, merges=[])


def _image(kind: str):
    hf = transformers()
    if kind == "clip":
        return hf.CLIPVisionConfig(**_layers(), image_size=SIZE, patch_size=8)
    name, config = NETWORKS[kind]
    return getattr(hf, f"{name}Config")(**config)


def _text(kind: str, tokenizer):
    hf = transformers()
    if kind == "clip":
        ends = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id}
        return hf.CLIPTextConfig(
            **_layers(), **ends, max_position_embeddings=CONTEXT, vocab_size=len(tokenizer), pad_token_id=1
        )
    if kind == "bert":
        return hf.BertConfig(**_layers(), max_position_embeddings=CONTEXT, vocab_size=len(tokenizer))
    return hf.RobertaConfig(**_layers(), max_position_embeddings=CONTEXT + 2, vocab_size=len(tokenizer), pad_token_id=1)


def _layers() -> dict[str, int]:
    return {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
