"""The policy in force: its numbers are those of the design, and its digest changes with any of them."""

from __future__ import annotations

import subprocess
import sys

import msgspec
import pytest
from msgspec.structs import replace

from gaia.protocol.run_spec import FieldId
from gaia.tasks.defined_tasks.weather.policy.policy import (
    DEFAULT_POLICY,
    BadPolicy,
    CloneGrowth,
    CloneThreshold,
    Fallback,
    GatePolicy,
    LeadBand,
    ReferenceBaseline,
    ScoringPolicy,
    TermWeights,
    WindowPolicy,
)


def test_the_digest_covers_every_number() -> None:
    changed = [
        replace(DEFAULT_POLICY, version=99),
        replace(DEFAULT_POLICY, terms=TermWeights(skill_clim=0.2, skill_ref=0.7)),
        replace(DEFAULT_POLICY, component_weights={**DEFAULT_POLICY.component_weights, "q": 0.07}),
        replace(DEFAULT_POLICY, clone_thresholds=()),
        replace(DEFAULT_POLICY, clone_agreement=1.0),
        replace(DEFAULT_POLICY, clone_growth=()),
        replace(DEFAULT_POLICY, reference_baseline=ReferenceBaseline.PLAIN),
        replace(DEFAULT_POLICY, fallback=Fallback.NONE),
        replace(DEFAULT_POLICY, gate=GatePolicy(minimum=0.1)),
        replace(DEFAULT_POLICY, window=WindowPolicy(runs=9)),
    ]
    digests = {policy.digest() for policy in [DEFAULT_POLICY, *changed]}
    assert len(digests) == 1 + len(changed)
    assert all(len(digest) == 64 for digest in digests)


def test_the_digest_survives_the_channel() -> None:
    sent = msgspec.msgpack.encode(msgspec.to_builtins(DEFAULT_POLICY))
    received = msgspec.convert(msgspec.msgpack.decode(sent), ScoringPolicy)
    assert received.digest() == DEFAULT_POLICY.digest()


def test_the_order_of_component_weights_does_not_matter() -> None:
    turned = dict(list(DEFAULT_POLICY.component_weights.items())[::-1])
    assert replace(DEFAULT_POLICY, component_weights=turned).digest() == DEFAULT_POLICY.digest()


def test_gate_fields_are_those_of_the_design() -> None:
    fields = [FieldId("2t"), FieldId("z", 500), FieldId("z", 850), FieldId("t", 500), FieldId("10u")]
    assert DEFAULT_POLICY.gate_fields(fields) == (FieldId("2t"), FieldId("z", 500), FieldId("10u"))
    assert DEFAULT_POLICY.clone_threshold(FieldId("2t")) == 0.04
    assert DEFAULT_POLICY.clone_threshold(FieldId("z", 850)) is None


def test_clone_thresholds_grow_with_the_lead_from_the_one_that_is_named() -> None:
    steps = (CloneGrowth(lead_h=24, factor=1.5), CloneGrowth(lead_h=72, factor=4.0))
    policy = replace(DEFAULT_POLICY, clone_growth=steps)
    found = [policy.clone_threshold(FieldId("msl"), lead_h) for lead_h in (0, 12, 24, 48, 72, 240)]
    assert found == [400.0, 400.0, 600.0, 600.0, 1600.0, 1600.0]
    assert policy.clone_threshold(FieldId("q", 500), 240) is None


@pytest.mark.parametrize(("lead_h", "weight"), [(6, 1.0), (168, 1.0), (174, 0.5), (240, 0.5), (360, 0.5)])
def test_lead_weights_by_band(lead_h: int, weight: float) -> None:
    assert DEFAULT_POLICY.lead_weight(lead_h) == weight


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"terms": TermWeights(acc=0.3)}, "must sum to 1"),
        ({"component_weights": {"2t": -0.1}}, "not negative"),
        ({"component_weights": {"2t": float("nan")}}, "finite"),
        ({"window": WindowPolicy(lead_bands=())}, "ascending"),
        (
            {
                "window": WindowPolicy(
                    lead_bands=(
                        LeadBand(up_to_h=24, lead_weight=1.0),
                        LeadBand(up_to_h=12, lead_weight=1.0),
                    )
                )
            },
            "ascending",
        ),
        ({"window": WindowPolicy(runs=0)}, "makes no sense"),
        ({"clone_growth": (CloneGrowth(lead_h=24, factor=0.5),)}, "clone growth"),
        (
            {"clone_growth": (CloneGrowth(lead_h=48, factor=2.0), CloneGrowth(lead_h=72, factor=1.5))},
            "clone growth",
        ),
        ({"clone_thresholds": (CloneThreshold(variable="2t", mse=0.0),)}, "clone threshold"),
    ],
)
def test_a_policy_that_contradicts_itself_is_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(BadPolicy, match=message):
        replace(DEFAULT_POLICY, **change)


@pytest.mark.parametrize(
    "module",
    [
        "gaia.tasks.defined_tasks.weather.policy.policy",
        "gaia.tasks.defined_tasks.weather.policy.window",
        "gaia.tasks.defined_tasks.weather.validator.handlers.score_payloads",
        "gaia.validator.weights",
    ],
)
def test_what_the_io_engine_imports_needs_no_numpy(module: str) -> None:
    program = f"import sys, {module}; sys.exit('numpy' in sys.modules)"
    finished = subprocess.run([sys.executable, "-c", program], check=False, timeout=60)
    assert finished.returncode == 0
