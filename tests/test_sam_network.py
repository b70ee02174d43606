"""The folded decoder against transformers' own, and the simulated person of the training step."""

import pytest
import torch
from transformers import SamConfig, SamModel

from candid.models.sam_network import Network, initialise
from candid.segment.interactive import Batch, boxes_of, interact, mask_losses, overlap


@pytest.fixture(scope="module")
def network():
    config = SamConfig(
        vision_config={
            "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": 64, "patch_size": 8,
            "output_channels": 32, "window_size": 3, "global_attn_indexes": [1], "num_pos_feats": 16,
        },
        prompt_encoder_config={"hidden_size": 32, "image_size": 64, "patch_size": 8},
        mask_decoder_config={"hidden_size": 32, "mlp_dim": 64, "num_attention_heads": 4, "iou_head_hidden_dim": 32},
    )  # fmt: skip
    model = SamModel(config).eval()
    initialise(model, seed=0)
    return Network(model)


@pytest.fixture(scope="module")
def embedding(network):
    with torch.no_grad():
        return network.encode(torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0)))


def drawn(*shape):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(1)) * 64


@torch.no_grad()
@pytest.mark.parametrize("shared", [True, False])
def test_points_decode_as_in_transformers(network, embedding, shared):
    points, labels = drawn(5, 2, 2), torch.tensor([[1, 0]] * 5)
    theirs = network.model(
        image_embeddings=embedding, input_points=points[None], input_labels=labels[None], multimask_output=True
    )
    closed = torch.cat([points, torch.zeros(5, 1, 2)], 1), torch.cat([labels, -torch.ones(5, 1, dtype=torch.int)], 1)
    ours = network.decode(
        embedding if shared else embedding.expand(5, -1, -1, -1), network.tokens(*closed), network.dense(None)
    )
    assert theirs.pred_masks.std() > 0.01
    torch.testing.assert_close(ours.logits(slice(1, None)), theirs.pred_masks[0], atol=2e-6, rtol=0)
    torch.testing.assert_close(ours.quality()[:, 1:], theirs.iou_scores[0], atol=2e-6, rtol=0)


@torch.no_grad()
def test_a_box_is_two_points_labelled_2_and_3(network, embedding):
    boxes = drawn(4, 4)
    theirs = network.model(image_embeddings=embedding, input_boxes=boxes[None], multimask_output=False)
    tokens = network.tokens(boxes.reshape(4, 2, 2), torch.tensor([[2, 3]] * 4))
    ours = network.decode(embedding, tokens, network.dense(None)).logits(slice(0, 1))
    torch.testing.assert_close(ours, theirs.pred_masks[0], atol=2e-6, rtol=0)


@torch.no_grad()
def test_every_prompt_has_its_own_mask(network, embedding):
    masks, points, labels = drawn(3, 1, 32, 32) - 32, drawn(3, 1, 2), torch.ones(3, 1, dtype=torch.int)
    tokens = network.tokens(points, labels)
    ours = network.decode(embedding, tokens, network.dense(masks)).logits(slice(1, None))
    closed = torch.cat([points, torch.zeros(3, 1, 2)], 1), torch.cat([labels, -torch.ones(3, 1, dtype=torch.int)], 1)
    ended = network.decode(embedding, network.tokens(*closed), network.dense(masks)).logits(slice(1, None))
    for row in range(3):  # transformers takes one mask an image
        one = slice(row, row + 1)
        alone = network.decode(embedding, tokens[one], network.dense(masks[one])).logits(slice(1, None))
        torch.testing.assert_close(ours[row], alone[0], atol=2e-6, rtol=0)
        theirs = network.model(
            image_embeddings=embedding, input_points=points[None, one], input_labels=labels[None, one],
            input_masks=masks[one], multimask_output=True,
        )  # fmt: skip
        torch.testing.assert_close(ended[one], theirs.pred_masks[0], atol=2e-6, rtol=0)


def test_encodings_start_at_a_size_that_trains(network):
    assert 0.5 < network.model.shared_image_embedding.positional_embedding.std() < 1.5
    assert 0.01 < network.model.vision_encoder.layers[0].mlp.lin1.weight.std() < 0.03


def test_a_perfect_mask_costs_nothing_and_its_negative_all():
    masks = torch.zeros(1, 8, 8)
    masks[:, 2:6, 2:6] = 1
    valid = torch.ones(1, 8, 8)
    right = (masks[:, None] * 2 - 1) * 50
    assert mask_losses(right, masks, valid).item() < 1e-6
    assert mask_losses(-right, masks, valid).item() > 1
    assert overlap(right, masks, valid).item() == 1
    assert overlap(-right, masks, valid).item() == 0


def test_boxes_end_one_past_the_mask():
    masks = torch.zeros(1, 8, 8, dtype=torch.bool)
    masks[0, 2:5, 1:7] = True
    assert boxes_of(masks).tolist() == [[1, 2, 7, 5]]


def test_a_training_step_reaches_every_part(network):
    network.train()
    masks = torch.zeros(2, 32, 32)
    masks[0, 4:12, 4:12] = 1
    masks[1, 20:30, 8:20] = 1
    pixels = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(2))
    batch = Batch(pixels, torch.tensor([0, 0]), masks, torch.ones(2, 32, 32))
    losses = interact(network, batch, clicks=2, random=torch.Generator().manual_seed(0))
    silent = {name for name, p in network.named_parameters() if p.requires_grad and p.grad is None}
    network.eval()
    assert losses.first > 0
    assert 0 <= losses.iou <= 1
    assert not silent
