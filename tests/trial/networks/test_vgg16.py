"""vgg16 beside torchvision's, and its channels that a linear layer reads 49 times each."""

import torch
from torch.nn import functional

from methods.core.method import Evidence
from methods.core.removal import remove
from methods.filter_l1 import FilterL1
from tests.methods.examples import images
from trial.networks import Network, build
from trial.networks.pretrained import PRETRAINED

NEW = ("classifier.8.", "classifier.10.")


def test_up_to_imagenets_classes_it_is_torchvisions():
    from torchvision.models import VGG16_Weights, vgg16

    ours = build(Network(name="vgg16"), classes=7, seed=0).eval()
    with torch.device("meta"):
        theirs = vgg16(weights=None).eval()
    pretrained = {name: tensor for name, tensor in ours.state_dict().items() if not name.startswith(NEW)}
    assert list(pretrained) == list(theirs.state_dict())
    theirs.load_state_dict(pretrained, assign=True)
    batch = images(2, dtype=torch.float32, side=64)  # where the mean over cells is no copy
    with torch.no_grad():
        logits, classes = ours(batch), theirs(batch)
        head = ours.get_submodule("classifier")
        by_hand = functional.linear(functional.relu(classes), head[8].weight, head[8].bias)
        by_hand = functional.linear(functional.relu(by_hand), head[10].weight, head[10].bias)
        # The last but one of theirs, so that not only logits, which random weights make nearly constant, are compared.
        inner = [
            network.classifier[:2](network.avgpool(network.features(batch)).flatten(1)) for network in (ours, theirs)
        ]
    assert torch.equal(logits, by_hand)
    assert torch.equal(*inner)
    assert inner[0].std(0).max() > 0.01

    entry = VGG16_Weights.IMAGENET1K_V1
    declared = PRETRAINED["vgg16"]
    assert (declared.url, declared.entry, declared.new) == (entry.url, str(entry), NEW)


def test_dropouts_are_the_documents():
    head = build(Network(name="vgg16", width=0.02), classes=5, seed=0).get_submodule("classifier")
    assert [(place, module.p) for place, module in enumerate(head) if isinstance(module, torch.nn.Dropout)] == [
        *((2, 0.5), (5, 0.5)),
        (11, 0.25),  # on the logits
    ]


def test_a_channel_takes_its_49_columns_with_it():
    network = build(Network(name="vgg16", width=0.03125), classes=4, seed=0).double().eval()
    cut = FilterL1(ratio=0.5, linear="leave").cut(network, Evidence(images(4, side=32), torch.arange(4), 0), ratio=0.5)
    thin, _ = remove(network, cut, images(1, side=32))
    gone = set(cut.channels["features.28"].tolist())
    kept = [channel for channel in range(16) if channel not in gone]
    assert len(kept) == 8
    columns = [49 * channel + cell for channel in kept for cell in range(49)]
    before = network.get_parameter("classifier.0.weight")
    assert torch.equal(thin.get_parameter("classifier.0.weight"), before[:, columns])
    assert torch.equal(thin.get_parameter("features.28.bias"), network.get_parameter("features.28.bias")[kept])
