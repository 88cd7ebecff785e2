"""Checks of CaGNet's losses, of a training step's and of a fine-tuning step's."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxseg.data.labels import LabelSet
from jaxseg.losses import adversarial
from jaxseg.losses.cross_entropy import cross_entropy
from jaxseg.losses.mmd import mmd_per_class, mmd_runs
from jaxseg.methods.cagnet import losses
from jaxseg.methods.cagnet.label_prior import log_prior
from jaxseg.methods.cagnet.network import Verdict
from jaxseg.models.generator import Generator
from jaxseg.ops.pseudo_labels import pseudo_labels
from jaxseg.ops.scales import labels_at, largest
from tests.golden.case import Case
from tests.golden.checks.cagnet_generator import judge

IGNORE = 255


def recon_losses(case: Case) -> None:
    """All kinds of the content loss, with their gradients to generated features."""
    predict, target, gt = (jnp.asarray(case[n]) for n in ("predict", "target", "gt"))
    same = np.array_equal(predict, target)
    num_classes = int(case["gt"][case["gt"] != IGNORE].max(initial=0)) + 1
    key = jax.random.key(0)
    for kind, name in _CONTENT.items():
        content = losses.Content(kind=kind, slots=gt.size)

        def loss(generated, content=content):
            return content(key, generated, target, gt, num_classes=num_classes)

        value, gradient = jax.jit(jax.value_and_grad(loss))(predict)
        if same and kind.startswith("mmd"):
            # The root of rounding errors: only its size means something.
            assert abs(float(value)) < 3e-3 and np.isfinite(gradient).all()
            case.reference_only(
                name, f"grad_{name}", reason="the root of a difference of equals"
            )
            continue
        case.close(name, value, atol=2e-4, rtol=2e-4)
        case.close(f"grad_{name}", gradient, atol=2e-3, rtol=2e-3)
    flat = [x.reshape(-1, predict.shape[-1]) for x in (predict, target)]
    _, num_runs = mmd_runs(*flat, gt.reshape(-1), num_classes=num_classes)
    case.equal("num_runs", num_runs)
    few = mmd_per_class(key, *flat, gt.reshape(-1), num_classes=num_classes, slots=1)
    assert np.isfinite(few)


_CONTENT = {
    "mmd_per_class": "mmd_per_class",
    "mmd_runs": "mmd_runs",
    "l1": "l1",
    "mse": "mse",
}
_CRITIC = ("w_fc", "b_fc", "w_pred", "b_pred", "w_cls", "b_cls")
_GAN = {"l1": "l1gan", "bce": "bce", "wgan": "wgan", "lsgan": "square"}


def adversarial_and_cls(case: Case) -> None:
    """Each kind of adversarial loss for both players, and the class loss."""
    predict, target, gt = (jnp.asarray(case[n]) for n in ("predict", "target", "gt"))
    params = {name: case[name] for name in _CRITIC}
    mask = gt != IGNORE
    for kind, name in _GAN.items():

        def critic(params, kind=kind):
            return adversarial.discriminator_loss(
                judge(params, target)[0], judge(params, predict)[0], mask, kind=kind
            )

        def generator(predict, kind=kind):
            return adversarial.generator_loss(
                judge(params, predict)[0], mask, kind=kind
            )

        real, fake = critic(params)
        case.close(f"{name}_D", real + fake, atol=1e-5, rtol=1e-5)
        value, gradient = jax.value_and_grad(generator)(predict)
        case.close(f"{name}_G", value, atol=1e-5, rtol=1e-5)
        if f"{name}_D_real" in case:
            case.close(f"{name}_D_real", real, atol=1e-5, rtol=1e-5)
            case.close(f"{name}_D_fake", fake, atol=1e-5, rtol=1e-5)
        if f"{name}_grad_G_predict" in case:
            case.close(f"{name}_grad_G_predict", gradient, atol=1e-4, rtol=1e-4)
        if f"{name}_grad_D_w_fc" in case:
            of_params = jax.grad(lambda p, c=critic: sum(c(p)))(params)
            case.close(f"{name}_grad_D_w_fc", of_params["w_fc"], atol=1e-4, rtol=1e-4)

    def entropy(predict, params):
        logits = judge(params, predict)[1]
        return cross_entropy(logits, jnp.where(mask, gt, -1)), logits

    (value, logits), (of_predict, of_params) = jax.value_and_grad(
        entropy, argnums=(0, 1), has_aux=True
    )(predict, params)
    case.close("ce", value, atol=1e-5, rtol=1e-5)
    case.close("ce_grad_predict", of_predict, atol=1e-4, rtol=1e-4)
    case.close("ce_grad_w_cls", of_params["w_cls"], atol=1e-4, rtol=1e-4)
    chosen = jnp.argmax(logits, axis=-1)
    case.equal("ce_pred", chosen)
    right = jnp.sum((chosen == gt) & mask) / jnp.maximum(jnp.sum(mask), 1)
    case.close("ce_acc", right, atol=1e-6)


def cagnet_step1(case: Case) -> None:
    """All losses of a step on seen classes, and each player's gradients."""
    weights = _weights(case)
    maps = {n: jnp.asarray(case[f"feat_{n}"]) for n in ("100", "50", "75", "max")}
    full = jnp.asarray(case["gt_full"])
    labels = {name: labels_at(full, x.shape[1:3]) for name, x in maps.items()}
    for name in ("100", "50", "75"):
        case.equal(f"gt_{name}", labels[name])
    labels = {name: _ids(x) for name, x in labels.items()}
    critic = {name: case[f"dis_{name}"] for name in _CRITIC}
    divergence = jnp.asarray(case["kld"])
    table, latent = case["embeddings"], jnp.asarray(case["latent"])
    assert len(table) == case.number("num_seen") + case.number("num_unseen")
    network, generator = _generator(case)

    def generate(params):
        return network.apply(
            {"params": params}, table, labels["100"], latent, train=False
        )

    def classify(critic, maps):
        logits = [judge(critic, x)[1] for x in maps.values()]
        return losses.real_classification(logits, list(labels.values()))

    def of_critic(critic):
        return losses.critic_loss(
            _verdict(critic, maps["100"]),
            _verdict(critic, generate(generator)),
            classify(critic, maps),
            labels["100"],
            weights=weights,
            gan="l1",
        )

    def of_encoder(given, divergence):
        maps = {**given, "max": largest(list(given.values()))}
        return losses.encoder_loss(divergence, classify(critic, maps), weights=weights)

    def of_generator(params):
        generated = generate(params)
        content = losses.Content(kind="mmd_runs")(
            jax.random.key(0),
            generated,
            maps["100"],
            labels["100"],
            num_classes=len(table),
        )
        return losses.generator_loss(
            _verdict(critic, generated),
            content,
            labels["100"],
            weights=weights,
            gan="l1",
        )

    (loss, told), of_d = jax.jit(jax.value_and_grad(of_critic, has_aux=True))(critic)
    value = {"atol": 1e-4, "rtol": 1e-4}
    case.close("loss_D", loss, **value)
    case.close("loss_D_real", told["discriminator_real"], **value)
    case.close("loss_D_fake", told["discriminator_generated"], **value)
    gan = told["discriminator_real"] + told["discriminator_generated"]
    case.close("loss_D_GAN", gan, **value)
    case.close("loss_cls_real", told["cross_entropy"], **value)
    case.close("loss_cls_fake", told["generated_cross_entropy"], **value)
    case.close("loss_D_cls_real", weights.critic_real * told["cross_entropy"], **value)
    fake = weights.critic_generated * told["generated_cross_entropy"]
    case.close("loss_D_cls_fake", fake, **value)
    real = weights.critic_real * told["cross_entropy"]
    case.close("loss_D_cls", real + fake, **value)
    for name in ("w_fc", "w_pred", "w_cls"):
        case.close(f"gradD_{name}", of_d[name], atol=1e-3, rtol=1e-3)

    given = {name: maps[name] for name in ("100", "50", "75")}
    case.close("feat_max", largest(list(given.values())), atol=1e-5)
    of_both = jax.jit(jax.value_and_grad(of_encoder, argnums=(0, 1)))
    loss, (of_maps, of_kl) = of_both(given, divergence)
    case.close("loss_B", loss, **value)
    case.close("loss_B_KLD", weights.encoder_divergence * divergence, **value)
    case.close("loss_B_cls", weights.encoder_real * told["cross_entropy"], **value)
    for name, gradient in of_maps.items():
        case.close(f"gradB_feat_{name}", gradient, atol=1e-3, rtol=1e-3)
    case.close("gradB_kld", of_kl, atol=1e-3, rtol=1e-3)

    (loss, told_g), of_g = jax.jit(jax.value_and_grad(of_generator, has_aux=True))(
        generator
    )
    case.close("loss_G", loss, **value)
    passed = weights.generator_adversarial * told_g["passed_for_real"]
    case.close("loss_G_GAN", passed, **value)
    content = weights.generator_content * told_g["content"]
    case.close("loss_G_Content", content, **value)
    of_classes = weights.generator_generated * told["generated_cross_entropy"]
    case.close("loss_G_cls", of_classes, **value)
    for i in range(2):
        kernel = of_g[f"layer_{i}"]["kernel"]
        case.close(f"gradG_w{i}", kernel, atol=1e-3, rtol=1e-3)
    right = [_accuracy(judge(critic, maps[n])[1], labels[n]) for n in maps]
    case.close("acc_cls_real", sum(right) / len(right), atol=1e-6)
    logits = judge(critic, generate(generator))[1]
    case.close("acc_cls_fake", _accuracy(logits, labels["100"]), atol=1e-6)
    case.reference_only(
        "loss_D_gp",
        "hp_lambda_D_gp",
        reason="the gradient penalty, of no released config's adversarial loss",
    )
    case.reference_only(
        "hp_lambda_D_cls_fake_transfer",
        "hp_lambda_G_cls_transfer",
        reason="weights of the fine-tuning step",
    )


def cagnet_step2(case: Case) -> None:
    """The class loss of synthesised features, and the prior of their labels."""
    gt, latent = jnp.asarray(case["gt_synth"]), jnp.asarray(case["noise"])
    num_seen, num_unseen = case.number("num_seen"), case.number("num_unseen")
    prior = jnp.exp(
        log_prior(_classes(num_seen, num_unseen), case.number("gen_unseen_rate"))
    )
    case.close("prior", prior, atol=1e-6)
    critic = {name: case[f"dis_{name}"] for name in _CRITIC}
    network, generator = _generator(case)
    table = case["embeddings"]
    for_critic = case.number("hp_lambda_D_cls_fake_transfer")
    for_generator = case.number("hp_lambda_G_cls_transfer")

    def generate(params):
        return network.apply({"params": params}, table, gt, latent, train=False)

    def entropy(critic, params):
        return cross_entropy(judge(critic, generate(params))[1], gt)

    value = {"atol": 1e-4, "rtol": 1e-4}
    case.close("predict", generate(generator), **value)
    loss, (of_d, of_g) = jax.value_and_grad(entropy, argnums=(0, 1))(critic, generator)
    case.close("loss_cls_fake", loss, **value)
    for name in ("loss_D", "loss_D_cls", "loss_D_cls_fake"):
        case.close(name, for_critic * loss, **value)
    for name in ("loss_G", "loss_G_cls"):
        case.close(name, for_generator * loss, **value)
    for name in ("w_fc", "w_cls"):
        case.close(f"gradD_{name}", for_critic * of_d[name], atol=1e-3, rtol=1e-3)
    for i in range(2):
        kernel = for_generator * of_g[f"layer_{i}"]["kernel"]
        case.close(f"gradG_w{i}", kernel, atol=1e-3, rtol=1e-3)
    logits = judge(critic, generate(generator))[1]
    case.close("acc_cls_fake", _accuracy(logits, gt), atol=1e-6)
    case.reference_only(
        *(name for name in case.names if name.startswith("hp_")),
        reason="weights of the step on seen classes",
    )


def self_training(case: Case) -> None:
    """The labels that ignored pixels are given."""
    num_seen, num_unseen = case.number("num_seen"), case.number("num_unseen")
    scores = jnp.asarray(case["scores"])
    ids = np.arange(scores.shape[-1])
    unseen = jnp.asarray((ids >= num_seen) & (ids < num_seen + num_unseen))
    labels = jnp.asarray(case["gt"])
    found = pseudo_labels(scores, labels, unseen, top_p=case.number("top_p"))
    case.equal("pseudo", found)
    case.equal("order", jnp.argsort(-scores, axis=-1, stable=True))


def _classes(num_seen: int, num_unseen: int) -> LabelSet:
    ids = tuple(range(num_seen + num_unseen))
    return LabelSet(
        names=tuple(map(str, ids)),
        palette=((0, 0, 0),) * len(ids),
        seen=ids[:num_seen],
        unseen=ids[num_seen:],
    )


def _weights(case: Case) -> losses.Weights:
    return losses.Weights(
        critic_real=case.number("hp_lambda_D_cls_real"),
        critic_generated=case.number("hp_lambda_D_cls_fake"),
        encoder_divergence=case.number("hp_lambda_B_KLD"),
        encoder_real=case.number("hp_lambda_B_cls"),
        generator_adversarial=case.number("hp_lambda_G_GAN"),
        generator_content=case.number("hp_lambda_G_Content"),
        generator_generated=case.number("hp_lambda_G_cls"),
    )


def _generator(case: Case) -> tuple[Generator, Any]:
    """The file's generator of two layers, without dropout."""
    params = {
        f"layer_{i}": {"kernel": case[f"gen_w{i}"], "bias": case[f"gen_b{i}"]}
        for i in range(2)
    }
    hidden, features = (params[f"layer_{i}"]["kernel"].shape[-1] for i in range(2))
    return Generator(features=features, hidden=(hidden,), dropout=(0.0,)), params


def _verdict(critic: dict[str, Any], features: jax.Array) -> Verdict:
    return Verdict(*judge(critic, features))


def _ids(labels: jax.Array) -> jax.Array:
    """The release's 255 is an id of no class here, whatever the number of columns."""
    return jnp.where(labels == IGNORE, -1, labels)


def _accuracy(logits: jax.Array, labels: jax.Array) -> jax.Array:
    """The share of labelled pixels whose prediction is right."""
    labelled = labels >= 0
    right = (jnp.argmax(logits, axis=-1) == labels) & labelled
    return jnp.sum(right) / jnp.maximum(jnp.sum(labelled), 1)
