"""From settings to a classifier: create, load, cut apart, put the asked end on."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any, Final, NamedTuple

import torch
from torch import Tensor, nn

from camtool.errors import ModelError, shorten
from camtool.models import paper_networks
from camtool.models.backbones import check_classifier, create, leaves, set_input_size, spec_of
from camtool.models.classifier import Classifier, modules_with_weights
from camtool.models.heads import ClassMapHead, Head, LinearHead, PerClassHead
from camtool.models.layers import WithConv, convolution, published_start, replace_dilated
from camtool.models.poolings import Gap, PerClass
from camtool.models.settings import ExtraConv, ModelSettings
from camtool.models.splitting import (
    NetworkParts,
    UnsplitHead,
    block_classes,
    keep_whole,
    split_network,
)
from camtool.models.states import Fitted, classes_of, read_class_names, read_state_file
from camtool.models.weights import (
    KnownRows,
    check_can_keep,
    check_kept,
    keep_rows,
    load,
    state_of,
    with_linear_weights,
)
from camtool.structures import InputSpec

IMAGENET_CLASSES: Final = 1000
_log = logging.getLogger("camtool")


class _Network(NamedTuple):
    """A network, and which of its tensors (by address) came from pretrained weights."""

    module: nn.Module
    pretrained: frozenset[int]


def build(
    settings: ModelSettings, seed: int, num_classes: int | None, known: KnownRows | None = None
) -> Classifier:
    """Return the classifier that the settings describe; see `ModelSettings.build`.

    `known` are rows of the weights' last layer that classes begin with.
    """
    # Random weights must be the caller's by seed, and the caller's generator untouched.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if known is not None:
            check_can_keep(settings, known)
        network = _at_size(_network(settings, num_classes, known), settings)
        network.module.eval()
        if num_classes is None and settings.linear_weights is None:
            check_classifier(settings.backbone, network.module)
        name = settings.backbone
        spec = _with_given(settings, spec_of(name, network.module))
        parts = _split_apart(settings, network.module, spec, name, *leaves(name))
        classifier = _with_end(settings, parts, spec)
        new = _new_modules(classifier, network.pretrained)
        made_of_own = bool(parts.sources) and classifier.head is parts.head
        if made_of_own and parts.sources <= network.pretrained:
            new.remove(classifier.head)
        if num_classes is None and settings.linear_weights is None:
            _name_classes(classifier, settings)
        if classifier.head in new and known is None:
            _start_for_pooling(classifier.head)
    if known is not None and not made_of_own:
        check_kept(network.module, classifier)
    if network.pretrained:
        classifier.mark_new(new)
    return classifier.eval()


def _name_classes(classifier: Classifier, settings: ModelSettings) -> None:
    names = class_names_of_weights(settings)
    count = classifier.num_classes
    if names is not None and len(names) != count:
        place = settings.class_names or settings.weights
        raise ModelError(f"{place}: {len(names):,} names, and the network has {count:,} classes")
    classifier.class_names = names
    if names is None and settings.weights_file is not None and count != IMAGENET_CLASSES:
        _log.info(
            "%s: its %d classes have no names and are called 0 to %d: name them by --class-names",
            settings.weights, count, count - 1,
        )  # fmt: skip


def classifier_of(network: nn.Module, spec: InputSpec) -> Classifier:
    """Return the classifier that a network is which was made elsewhere.

    It is cut apart as one with a name is, and its weights are the network's own, not copies.

    Args:
        network: a module in evaluation mode and single precision, on the CPU, from images
            (B, 3, H, W) to class scores (B, C).
        spec: what its input must look like.

    Raises:
        ModelError: it takes no such input, or answers something else. A network whose end allows no
            exact map is kept whole.
    """
    name = type(network).__name__
    check_classifier(name, network)
    _check_answer(name, network, spec)
    # What timm declares as not to be traced into may stand in any network.
    parts = _split_apart(ModelSettings(), network, spec, name, *leaves("timm/"))
    replace_dilated(parts.features)
    if parts.head is None:  # only where another end is asked for
        raise ModelError(f"{name}: has no end of its own")
    return Classifier(name, parts.features, parts.head, spec, parts.untrainable).eval()


def _check_answer(name: str, network: nn.Module, spec: InputSpec) -> None:
    width, height = spec.size
    try:
        with torch.inference_mode():
            scores = network(torch.zeros(1, 3, height, width))
    except (AssertionError, RuntimeError, ValueError, TypeError) as error:
        raise ModelError(
            f"{name}: takes no input of shape (1, 3, {height}, {width})"
            f" ({shorten(str(error), 200)}): give its size, or wrap it to take one batch of images"
        ) from error
    if not isinstance(scores, Tensor) or scores.ndim != 2 or len(scores) != 1:
        kind = type(scores).__name__
        got = f"shape {tuple(scores.shape)}" if isinstance(scores, Tensor) else f"a {kind}"
        raise ModelError(
            f"{name}: answers {got} to one image, not class scores of shape (1, C): wrap it in a"
            " module that returns only these"
        )


def _new_modules(classifier: Classifier, pretrained: frozenset[int]) -> list[nn.Module]:
    return [
        module
        for module in modules_with_weights(classifier)
        if pretrained.isdisjoint(p.data_ptr() for p in module.parameters(recurse=False))
    ]


def _start_for_pooling(head: Head) -> None:
    """Draw a new last layer anew where the library drew it for means, and it gets maxima.

    These are many times as large: the first losses would be, too, and training does not recover.
    """
    if isinstance(head, LinearHead) and not isinstance(head.pooling, Gap):
        nn.init.normal_(head.weight, std=0.01)
        nn.init.zeros_(head.offset)


def _network(settings: ModelSettings, num_classes: int | None, known: KnownRows | None) -> _Network:
    name, weights = settings.backbone, settings.weights
    if weights == "none":
        return _Network(create(name, num_classes, settings.output_stride), frozenset())
    if name.startswith("paper/"):
        return _paper_network(settings, num_classes)
    own, state, held = _pretrained(settings)
    if num_classes is None:
        load(own, state, weights, name)
        return _Network(own, _addresses(own))
    other = create(name, num_classes, settings.output_stride)
    if known is None and _shapes(state) == _shapes(other.state_dict()):
        load(other, state, weights, name)
        return _Network(other, _addresses(other))
    load(own, state, weights, name)
    adopted = _adopt(other, own.state_dict())
    if known is None:
        if held is not None:
            _log.info("%s: of %d classes: the last layer of %d is new", weights, held, num_classes)
        return _Network(other, adopted)
    return _Network(other, adopted | keep_rows(other, own, known, name))


def _pretrained(settings: ModelSettings) -> tuple[nn.Module, dict[str, Tensor], int | None]:
    """A network that its weights fit, the weights, and the number of their classes if not usual."""
    name = settings.backbone
    own = create(name, None, settings.output_stride)
    state = state_of(name, settings.weights, own)
    held = _classes_held(settings, state, own)
    return own if held is None else create(name, held, settings.output_stride), state, held


def _classes_held(settings: ModelSettings, state: dict[str, Tensor], own: nn.Module) -> int | None:
    """The number of classes in a file of weights where it is not the published one.

    Raises:
        ModelError: the file differs from the network in more than that.
    """
    if settings.weights_file is None:
        return None
    mine = own.state_dict()
    published = int(getattr(own, "num_classes", IMAGENET_CLASSES))
    try:
        held = classes_of(Fitted(state), mine, published)
    except ValueError as error:
        raise ModelError(
            f"{settings.weights}: not the state of {settings.backbone}: {error}: name the network"
            " it is of (--backbone NAME, model.backbone)"
        ) from error
    return held if held != published else None


def _at_size(network: _Network, settings: ModelSettings) -> _Network:
    """The network with positions for the size that is asked for; what weights gave stays theirs."""
    if settings.input_size is None:
        return network
    state = network.module.state_dict()
    names = [key for key, value in state.items() if value.data_ptr() in network.pretrained]
    set_input_size(settings.backbone, network.module, settings.input_size)
    state = network.module.state_dict()
    return _Network(network.module, frozenset(state[n].data_ptr() for n in names if n in state))


def _paper_network(settings: ModelSettings, num_classes: int | None) -> _Network:
    """A network of the paper: weights of the network it begins with, or all of its own."""
    backbone, weights = settings.backbone, settings.weights
    name = backbone.removeprefix("paper/")
    if settings.output_stride is not None:
        create(backbone, None, settings.output_stride)  # refuses it
    base = paper_networks.base_of(name)
    if base is None and weights == "imagenet":
        raise ModelError(
            f"{backbone}: torchvision has no weights for it; set model.weights to a file of its"
            " state, or to none"
        )
    library = f"torchvision/{paper_networks.NETWORKS[name].base}"
    file = settings.weights_file
    # In a whole network the layers that it begins with are its trunk.
    whole = base is None or (
        file is not None and any("trunk." in key for key in read_state_file(file).tensors)
    )
    if base is not None and not whole:
        load(base, state_of(library, weights, base), weights, library)
    network = paper_networks.assemble(name, base, num_classes or IMAGENET_CLASSES)
    if whole:
        load(network, state_of(backbone, weights, network), weights, backbone)
    loaded = network if base is None or whole else base
    return _Network(network, _addresses(network) & _addresses(loaded))


def _adopt(network: nn.Module, state: dict[str, Tensor]) -> frozenset[int]:
    """Take over all that does not depend on the number of classes; return where it went."""
    own = network.state_dict()
    fitting = [key for key, value in state.items() if own[key].shape == value.shape]
    with torch.no_grad():
        for key in fitting:
            own[key].copy_(state[key])
    return frozenset(own[key].data_ptr() for key in fitting)


def _addresses(network: nn.Module) -> frozenset[int]:
    return frozenset(value.data_ptr() for value in network.state_dict().values())


def _shapes(state: dict[str, Tensor]) -> dict[str, tuple[int, ...]]:
    return {key: tuple(value.shape) for key, value in state.items()}


def _split_apart(
    settings: ModelSettings,
    network: nn.Module,
    spec: InputSpec,
    name: str,
    modules: list[Any],
    functions: list[Any],
) -> NetworkParts:
    width, height = spec.size
    example = torch.linspace(-1, 1, 3 * width * height).view(1, 3, height, width)
    try:
        return split_network(
            name,
            network,
            example,
            [*modules, *block_classes(network)],
            functions,
            any_end=_has_new_end(settings),
            output_stride=settings.output_stride,
        )
    except ModelError as error:
        # With something asked of the network's inside, it cannot be taken as it is.
        inside = settings.extra_conv is not None or settings.output_stride is not None
        if inside or _has_new_end(settings):
            raise
        features, head = keep_whole(network, example, str(error))
        classes = len(head.bias())
        return NetworkParts(features, head, classes, classes, untrainable=str(error))


def _with_end(settings: ModelSettings, parts: NetworkParts, spec: InputSpec) -> Classifier:
    features, head, channels = parts.features, parts.head, parts.channels
    replace_dilated(features)
    if settings.extra_conv is not None:
        features = WithConv(features, _extra(settings.extra_conv, channels, settings.backbone))
        channels = settings.extra_conv.channels
    if not isinstance(head, UnsplitHead):
        head = _head(settings, head, channels, parts.classes)
    if settings.dropout is not None:
        if isinstance(head, PerClassHead | UnsplitHead):
            raise ModelError(
                f"{settings.backbone}: model.dropout: no linear layer reads the pooled features, so"
                " nothing can be dropped there; leave it out"
            )
        head.dropout = settings.dropout
    classifier = Classifier(settings.backbone, features, head, spec, parts.untrainable)
    if settings.linear_weights is not None:
        classifier = with_linear_weights(classifier, settings.linear_weights)
    set_scores(classifier, settings)
    return classifier


def _with_given(settings: ModelSettings, spec: InputSpec) -> InputSpec:
    """The preprocessing of a backbone, with what the settings say otherwise."""
    given = {key: getattr(settings, key) for key in ("mean", "std", "interpolation")}
    if settings.input_size is not None:
        given["size"] = (settings.input_size, settings.input_size)
    return replace(spec, **{key: value for key, value in given.items() if value is not None})


def class_names_of_weights(settings: ModelSettings) -> tuple[str, ...] | None:
    """Return the names that a file gives the classes of a network's weights; None where none does.

    Raises:
        ModelError: a file cannot be read.
    """
    if settings.class_names is not None:
        return read_class_names(settings.class_names)
    if settings.weights_file is None or settings.checkpoint is not None:
        return None
    return read_state_file(settings.weights_file).classes


def set_scores(classifier: Classifier, settings: ModelSettings) -> None:
    """Let the network's scores become probabilities as the settings say, where they say it.

    Raises:
        ModelError: a network of one class with softmax.
    """
    if settings.scores == "softmax" and classifier.num_classes == 1:
        raise ModelError(
            f"{classifier.name}: model.scores: softmax of one class is 1 whatever it sees: set it"
            " to sigmoid"
        )
    if settings.scores is not None:
        classifier.scores = settings.scores


def _has_new_end(settings: ModelSettings) -> bool:
    return settings.pooling is not None or settings.linear_weights is not None


def _extra(extra: ExtraConv, inputs: int, backbone: str) -> nn.Module:
    if inputs % extra.groups or extra.channels % extra.groups:
        raise ModelError(
            f"{backbone}: model.extra_conv.groups ({extra.groups}) must divide the backbone's"
            f" {inputs} channels and the convolution's {extra.channels}"
        )
    return convolution(inputs, extra.channels, extra.groups, extra.kernel)


def _head(settings: ModelSettings, own: Head | None, channels: int, classes: int) -> Head:
    """The backbone's own head with another pooling, as far as that makes sense, or a new one."""
    pooling = settings.pooling or (Gap() if own is None else own.pooling)
    spatial = pooling.by if isinstance(pooling, PerClass) else pooling
    if own is not None and settings.extra_conv is None:
        if not isinstance(pooling, PerClass) or isinstance(own, PerClassHead):
            own.pooling = spatial
            return own
        if isinstance(own, LinearHead):
            return _keeping_dropout(ClassMapHead(own.weight, own.offset, spatial), own)
    kind = ClassMapHead if isinstance(pooling, PerClass) else LinearHead
    layer = published_start(nn.Linear(channels, classes))
    return _keeping_dropout(kind(layer.weight, layer.bias, spatial), own)


def _keeping_dropout(head: Head, own: Head | None) -> Head:
    head.dropout = 0.0 if own is None else own.dropout
    return head
