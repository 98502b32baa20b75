import json

import pytest
import torch

from edgefill.errors import InputError, ModelError, OutputError
from edgefill.networks.dcgan import draw_latents
from edgefill.training.checkpoint import LAST, read_checkpoint
from edgefill.training.run import claim_folder, load_config, load_discriminator, load_generator


@pytest.fixture
def run(tmp_path, run_tiny):
    run_tiny(tmp_path / "run", epochs=1)
    return tmp_path / "run"


def test_the_averaged_generator_comes_back_in_eval_mode(run, tiny):
    G = load_generator(run)
    assert not G.training and not any(parameter.requires_grad for parameter in G.parameters())
    z = draw_latents(6, 4, torch.Generator().manual_seed(0))
    torch.testing.assert_close(G(z)[:1], G(z[:1]))  # No sample depends on its batch.
    assert load_config(run).network == tiny.network


def test_it_is_the_average_and_not_the_last_weights(run):
    tensors = read_checkpoint(run / LAST).tensors
    weight = load_generator(run)[0].weight
    assert torch.equal(weight, tensors["G_ema.0.weight"]) and not torch.equal(weight, tensors["G.0.weight"])


def test_the_discriminator_comes_back_in_eval_mode(run):
    D = load_discriminator(run)
    assert not D.training and D(torch.zeros(3, 1, 8, 8)).shape == (3,)


def test_a_damaged_last_checkpoint_is_warned_of(run):
    (run / LAST).write_bytes(b"")
    with pytest.warns(UserWarning, match=rf"{LAST}.*going on with the checkpoint before"):
        load_generator(run)


def test_a_folder_without_a_training_says_what_is_missing(tmp_path):
    with pytest.raises(ModelError, match=r"holds no training: config\.json is missing"):
        load_generator(tmp_path)


def test_a_config_that_does_not_belong_is_named(run):
    values = json.loads((run / "config.json").read_text())
    values["network"]["filters"] = 3
    (run / "config.json").write_text(json.dumps(values))
    with pytest.raises(ModelError, match=r"network\.filters is 3, expected 2"):
        load_generator(run)


def test_every_truncated_config_is_a_model_error(run):
    text = (run / "config.json").read_bytes()
    for length in range(0, len(text) - 2, 17):
        (run / "config.json").write_bytes(text[:length])
        with pytest.raises(ModelError, match=r"config\.json"):
            load_generator(run)


def test_a_folder_with_a_training_is_not_claimed_again(run):
    with pytest.raises(InputError, match=r"holds a training already.*--resume.*another --out"):
        claim_folder(run)


def test_a_folder_that_cannot_be_made_is_an_output_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="choose another folder"):
        claim_folder(tmp_path / "file" / "run")
