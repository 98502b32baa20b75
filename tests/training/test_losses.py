import torch
from torch.nn.functional import binary_cross_entropy_with_logits as cross_entropy

from edgefill.training.losses import discriminator_loss, generator_loss

REAL, FAKE = torch.tensor([2.0, -1.0, 40.0]), torch.tensor([-3.0, 0.5, 200.0])


def test_they_are_cross_entropies_of_the_logits():
    real, fake = torch.ones(3), torch.zeros(3)
    torch.testing.assert_close(generator_loss(FAKE), cross_entropy(FAKE, real))
    torch.testing.assert_close(
        discriminator_loss(REAL, FAKE), cross_entropy(REAL, real) + cross_entropy(FAKE, fake)
    )
