"""What is stored, as plain values. Times are aware UTC datetimes, money is integer micro-units, hashes are bytes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from typing import Any, Literal

InstanceKind = Literal["image", "text", "tabular"]
EntryState = Literal["intended", "answered", "rejected", "failed"]
RunStatus = Literal["running", "finished", "partial", "failed", "interrupted"]
ProbeStatus = Literal["finished", "partial", "failed"]


@dataclass(frozen=True, slots=True)
class Entry:
    """One evaluation in the ledger: written as ``intended`` before it is sent, completed when its answer is there.

    ``key`` identifies what is asked (32 bytes); ``generation`` counts how often it was asked afresh (0 first, +1 each time
    an older answer no longer counted). (key, generation) is unique.
    """

    key: bytes
    generation: int
    state: EntryState
    endpoint_id: str
    run_id: str
    sent_at: datetime  #: when the last attempt was journalled
    answered_at: datetime | None = None
    attempts: int = 0  #: requests that carried this evaluation
    maybe_billed: int = 0  #: of those, the ones whose answer never came and that the provider may have counted
    cost_micro: int = 0  #: this evaluation's share of the price of every request that carried it
    elapsed: float = 0.0  #: seconds the answering request took
    scores: Mapping[str, float] | None = None  #: by label; ``None`` unless answered
    floor: float | None = None  #: see adapters.Prediction
    censored: bool = False
    parser: str = ""  #: digest of the rules that made ``scores`` from the body
    body_sha: bytes | None = None  #: the response body, content-addressed
    http_status: int | None = None
    content_type: str | None = None
    item: int = 0  #: which input of the request this was
    items: int = 1  #: how many inputs the request carried
    error: str | None = None  #: why it was rejected or failed
    #: the pack it was found in; not a part of it, and never written
    pack: int | None = field(default=None, compare=False, repr=False)

    def but(self, **changes: Any) -> Entry:
        """A copy with ``changes``."""
        return replace(self, **changes)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A remote model as it was described when it was asked."""

    id: str  #: hex digest of ``identity``
    name: str  #: its name in the config
    provider: str  #: adapter or preset
    url: str
    model: str
    identity: str  #: what makes an answer this endpoint's; no secrets


@dataclass(frozen=True, slots=True)
class Instance:
    """An input under study, content-addressed."""

    id: str  #: hex SHA-256 of kind and content
    kind: InstanceKind
    name: str  #: file name or row id, as the user knows it
    content: bytes = field(repr=False)  #: text: UTF-8; tabular: JSON object; image: PNG


@dataclass(frozen=True, slots=True)
class Run:
    """One execution of the probes in a config."""

    id: str
    name: str  #: the config's path as given
    config_sha: bytes
    config: str  #: the config's text, secrets only as references
    code_version: str
    seed: int
    started: datetime
    status: RunStatus = "running"
    finished: datetime | None = None
    #: requests sent, evaluations from the ledger, retried, maybe billed, unsure, cost: integers by name
    totals: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Attribution:
    """One feature's share in one probe's explanation. ``feature`` is the feature's name."""

    feature: str
    value: float
    std_error: float | None


@dataclass(frozen=True, slots=True)
class Probe:
    """One instance × one method × one endpoint, explained (or why not)."""

    id: str
    run_id: str
    name: str  #: the probe's name in the config
    instance_id: str
    endpoint_id: str
    method: str
    params: Mapping[str, Any]  #: method, masker, target and budget settings, defaults included
    params_hash: bytes
    target: str  #: the label (or group) explained, as shown
    status: ProbeStatus
    started: datetime
    finished: datetime
    evaluations: int = 0  #: distinct coalitions used
    from_ledger: int = 0  #: of those (times repeats), answered before this run asked
    requests: int = 0  #: requests this probe caused
    cost_micro: int = 0
    base_value: float | None = None
    full_value: float | None = None
    exact: bool = False
    top_feature: str | None = None
    trust: Mapping[str, float] = field(default_factory=dict)
    findings: tuple[Mapping[str, str], ...] = ()  #: {"code", "message"}
    details: Mapping[str, Any] = field(default_factory=dict)
    features: tuple[Mapping[str, Any], ...] = ()  #: maskers.Feature as JSON objects, in order
    attributions: tuple[Attribution, ...] = ()  #: in feature order
    segments_sha: bytes | None = None  #: superpixel map, a body
    table: bytes = field(default=b"", repr=False)  #: the coalitions asked and their ledger keys, compressed
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Asked:
    """What an earlier probe asked, as far as another one can go on from it."""

    instance_id: str
    endpoint_id: str
    method: str
    params_hash: bytes
    params: Mapping[str, Any]
    finished: bool  #: it came to its end; else the run was stopped before
    code_version: str
    table: bytes = field(repr=False)  #: as in :class:`Probe`


@dataclass(frozen=True, slots=True)
class Usage:
    """What one model was asked on one day (UTC, by the time of sending)."""

    day: date
    provider: str
    model: str
    requests: int  #: HTTP requests, retries included
    errors: int  #: of those, the ones that brought no usable answer
    cost_micro: int
