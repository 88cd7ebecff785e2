"""Affinity and its spectrum: every eigen-solver of ours against SciPy in float64."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxseg.ops import affinity as ops
from jaxseg.ops.spectral import METHODS, Spectrum, eigenvectors
from tests.golden.case import Case

# Eigenvectors nearer than this turn into each other: their plane is compared.
LEAST_GAP = 1e-2
# These take a fixed number of products, which may be few for near eigenvalues.
FIXED = dict(values=1e-3, vectors=2e-2)
ATOL = {"fast": FIXED, "lanczos": FIXED}
EXACT = dict(values=1e-5, vectors=1e-4)


def affinity(case: Case) -> None:
    """Weights, degrees, eigenvalues, and eigenvectors or what they span."""
    features, colours, weight = _inputs(case)
    case.close("w_feat", ops.affinity(features), atol=1e-5)
    if "w_knn" in case:
        case.equal("w_knn", ops.colour_neighbours(colours))
    weights = ops.affinity(features, colours=colours, colour_weight=weight)
    case.close("degree", jnp.sum(weights, axis=0), rtol=1e-5)
    if "eigsh_eigenvalues" in case:
        case.reference_only("eigsh_eigenvalues", reason="another solver of theirs")
    solve = jax.jit(eigenvectors, static_argnames=("count", "method"))
    for method in METHODS:
        if method == "lanczos" and _repeats(case):
            continue  # one start vector finds one copy of a repeated eigenvalue
        spectrum = solve(weights, len(case["eigenvalues"]), method=method)
        _compare(case, spectrum, **ATOL.get(method, EXACT))


def _inputs(case: Case) -> tuple[jax.Array, jax.Array | None, float]:
    """Features and colours as maps; no colours where they have no weight."""
    h, w = case["grid"]
    features, colours = case["feats"].reshape(h, w, -1), case["image"]
    weight = case.number("lambda_color")
    return jnp.asarray(features), jnp.asarray(colours), weight


def _repeats(case: Case) -> bool:
    """Whether an eigenvalue other than the constant vector's repeats."""
    return bool(np.any(case["eigengap"][1:] < 1e-5))


def _compare(case: Case, ours: Spectrum, *, values: float, vectors: float) -> None:
    case.close("eigenvalues", ours.values, atol=values)
    case.close("eigengap", np.diff(ours.values), atol=2 * values)
    for name, found in (
        ("eigenvectors_sym", ours.symmetric),
        ("eigenvectors_gen", ours.vectors),
    ):
        if name in case:
            _compare_vectors(case, name, np.asarray(found), atol=vectors)
    if "null_projector" in case:
        null = np.asarray(ours.symmetric)[:, : int(np.sum(case["eigenvalues"] < 1e-6))]
        case.close("null_projector", null @ null.T, atol=vectors)


def _compare_vectors(case: Case, name: str, ours: np.ndarray, *, atol: float) -> None:
    """Vectors up to sign where their eigenvalue stands apart, else projectors."""
    theirs = case[name]
    gaps = [np.inf, *case["eigengap"]]
    groups = np.cumsum(np.asarray(gaps) > LEAST_GAP) - 1
    for group in np.unique(groups[: theirs.shape[1]]):
        (members,) = np.nonzero(groups == group)
        if members[-1] >= theirs.shape[1]:
            continue  # the rest of the plane is not in the file
        one, other = theirs[:, members], ours[:, members]
        if len(members) == 1:
            if name != "eigenvectors_gen" or _may_be_turned(one, atol):
                other = other * np.sign(np.sum(one * other))
            case.close_to(one, other, f"{name} {members}", atol=atol)
        else:
            case.close_to(one @ one.T, other @ other.T, f"{name} {members}", atol=atol)


def _may_be_turned(vector: np.ndarray, atol: float) -> bool:
    """Whether rounding decides the sign by the majority rule, or nothing does."""
    above, near_zero = np.sum(vector > 0), np.sum(np.abs(vector) <= atol)
    bounds = np.array([0, len(vector) / 2, len(vector)])
    return bool(np.any(np.abs(above - bounds) <= near_zero))
