"""A run in one file: what was asked and answered, what came of it, and hashes that show that nothing was altered since.

A zip without compression whose every byte is determined by its contents, so that a byte that is not as it should be is found
wherever it is. Everything in it is JSON, JSON lines, NumPy's ``.npz`` or a response body as it came.
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import math
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from probe.errors import ConfigError, EvidenceBroken
from probe.proof import Proof, Sheet
from storage import evidence, records

MANIFEST = "MANIFEST.json"
FORMAT = "probe-bundle-1"
_BEGINNING = (1980, 1, 1, 0, 0, 0)  #: what a zip can say at the earliest: no member has a time of its own
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_README = """\
A run of probe as evidence. `probe verify FILE` checks it without a network and without the database it is from.

MANIFEST.json      SHA-256 of every other member, and the roots of the trees
run.json           the run: config (secrets only as references), seed, code version, links of the chain
probes.jsonl       the explanations, one a line
endpoints.jsonl    what was asked, and by which request template
inputs.jsonl       the inputs: names, kinds and digests; their contents are in inputs/
tables/            by probe: the coalitions asked, and the ledger keys of their evaluations (.npz)
evaluations/       one a line; the hash of a leaf is SHA-256(0x00 + the line), the trees are those of RFC 6962, section 2.1
bodies.jsonl       for every line of evaluations/, in order: SHA-256 of the response, or null
bodies/            the responses as they came (what was redacted is not there)
report.html        what people read

By hand: sha256sum, jq and any zip program. A chain shows order and integrity, not that its writer was honest.
"""


def write(proof: Proof, path: Path, *, report: str) -> str:
    """Write the bundle; returns its SHA-256 in hex. Raises :class:`ConfigError` if the file cannot be written."""
    content = archive(_members(proof, report))
    try:
        path.write_bytes(content)
    except OSError as error:
        raise ConfigError(f"{path}: the bundle cannot be written: {error.strerror or error}") from error
    return hashlib.sha256(content).hexdigest()


def archive(members: Mapping[str, bytes]) -> bytes:
    """A zip of ``members`` in their order, the same bytes for the same members."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as file:
        for name, content in members.items():
            entry = zipfile.ZipInfo(name, _BEGINNING)
            entry.create_system = 3
            entry.external_attr = 0o644 << 16
            file.writestr(entry, content)
    return buffer.getvalue()


def _members(proof: Proof, report: str) -> dict[str, bytes]:
    members = {
        "README.txt": _README.encode(),
        "run.json": _json(_plain(proof.run) | {"links": [_plain(link) for link in proof.links]}),
        "probes.jsonl": _lines(_probe(probe) for probe in proof.probes),
        "endpoints.jsonl": _lines(_plain(endpoint) for _, endpoint in sorted(proof.endpoints.items())),
        "inputs.jsonl": _lines(
            {"id": each.id, "kind": each.kind, "name": each.name} for _, each in sorted(proof.instances.items())
        ),
    }
    members |= {f"inputs/{id_}": each.content for id_, each in sorted(proof.instances.items())}
    members |= {f"tables/{id_}.npz": table for id_, table in sorted(proof.tables.items()) if table}
    members |= {f"segments/{sha.hex()}.npy": blob for sha, blob in sorted(proof.segments.items())}
    members |= {
        _sheet_name(sheet): b"".join(evidence.line(entry) + b"\n" for entry in sheet.entries) for sheet in proof.sheets
    }
    every = [entry for sheet in proof.sheets for entry in sheet.entries]
    members["bodies.jsonl"] = _lines(None if entry.body_sha is None else entry.body_sha.hex() for entry in every)
    members |= {f"bodies/{sha.hex()}": body for sha, body in sorted(proof.bodies.items())}
    members["report.html"] = report.encode("utf-8", "replace")
    manifest = {
        "format": FORMAT,
        "run": proof.run.id,
        "code_version": proof.run.code_version,
        "packs": [
            {
                "member": _sheet_name(sheet),
                "number": sheet.number,
                "root": _hex(sheet.root),
                "bodies_root": _hex(sheet.bodies_root),
                "bodies": [sha.hex() for sha in sheet.bodies],
            }
            for sheet in proof.sheets
        ],
        "sha256": {name: hashlib.sha256(content).hexdigest() for name, content in members.items()},
    }
    return members | {MANIFEST: _json(manifest)}


def read(path: Path) -> Proof:
    """A bundle whose every byte is in its place.

    Raises:
        EvidenceBroken: naming the member that is not what it was.
        ConfigError: there is no such file, or it is no bundle at all.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror or error}") from error
    members = _checked_members(path, content)
    try:
        return _proof(members)
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise EvidenceBroken(f"{path}: it has the right hashes but not the right contents ({error!r})") from error


def _checked_members(path: Path, content: bytes) -> dict[str, bytes]:
    members: dict[str, bytes] = {}
    spans: list[tuple[int, str]] = []
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as file:
            for entry in file.infolist():
                spans.append((entry.header_offset, entry.filename))
                try:
                    members[entry.filename] = file.read(entry)
                except (
                    zipfile.BadZipFile,
                    zlib.error,
                    EOFError,
                    NotImplementedError,
                    RuntimeError,
                    ValueError,
                ) as error:
                    raise EvidenceBroken(f"{path}: {entry.filename} was altered ({error})") from error
    except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError, UnicodeDecodeError) as error:
        if content[:4] != b"PK\x03\x04" and b"PK\x01\x02" not in content:
            raise ConfigError(f"{path}: this is no bundle ({error})") from error
        raise EvidenceBroken(f"{path}: the archive's own directory was altered ({error})") from error
    _compare_manifest(path, members)
    rebuilt = archive(members)
    if rebuilt != content:
        pairs = enumerate(zip(rebuilt, content, strict=False))
        at = next((place for place, (one, other) in pairs if one != other), min(len(rebuilt), len(content)))
        where = max((span for span in spans if span[0] <= at), default=(0, "the beginning"))[1]
        directory = content.find(b"PK\x01\x02")
        what = "the archive's directory" if 0 <= directory <= at else f"the header of {where}"
        raise EvidenceBroken(f"{path}: {what} was altered (byte {at})")
    return members


def _compare_manifest(path: Path, members: Mapping[str, bytes]) -> None:
    if MANIFEST not in members:
        raise EvidenceBroken(f"{path}: {MANIFEST} is missing")
    try:
        said = json.loads(members[MANIFEST])
        known = said["format"] == FORMAT
        hashes = dict(said["sha256"])
    except (ValueError, KeyError, TypeError) as error:
        raise EvidenceBroken(f"{path}: {MANIFEST} was altered ({error})") from error
    if not known:
        raise ConfigError(f"{path}: a bundle of another version ({said['format']!r}); this one reads {FORMAT}")
    for name, content in members.items():
        if name != MANIFEST and hashes.get(name) != hashlib.sha256(content).hexdigest():
            raise EvidenceBroken(f"{path}: {name} is not what {MANIFEST} says")
    if lost := sorted(set(hashes) - set(members)):
        raise EvidenceBroken(f"{path}: {lost[0]} is missing")


def _proof(members: Mapping[str, bytes]) -> Proof:
    manifest = json.loads(members[MANIFEST])
    said = json.loads(members["run.json"])
    links = [_made(evidence.Link, link) for link in said.pop("links")]
    inputs = [json.loads(line) for line in members["inputs.jsonl"].splitlines()]
    endpoints = [records.Endpoint(**json.loads(line)) for line in members["endpoints.jsonl"].splitlines()]
    shas = map(json.loads, members["bodies.jsonl"].splitlines())
    return Proof(
        run=_made(records.Run, said),
        links=tuple(links),
        probes=tuple(_made_probe(json.loads(line)) for line in members["probes.jsonl"].splitlines()),
        instances={
            each["id"]: records.Instance(each["id"], each["kind"], each["name"], members[f"inputs/{each['id']}"])
            for each in inputs
        },
        endpoints={endpoint.id: endpoint for endpoint in endpoints},
        tables={name[7:-4]: content for name, content in members.items() if name.startswith("tables/")},
        segments={
            bytes.fromhex(name[9:-4]): content for name, content in members.items() if name.startswith("segments/")
        },
        sheets=tuple(_made_sheet(each, members, shas) for each in manifest["packs"]),
        bodies={bytes.fromhex(name[7:]): content for name, content in members.items() if name.startswith("bodies/")},
    )


def _sheet_name(sheet: Sheet) -> str:
    return f"evaluations/pack-{sheet.number}.jsonl" if sheet.number else "evaluations/from-elsewhere.jsonl"


def _made_sheet(said: Mapping[str, Any], members: Mapping[str, bytes], shas: Iterator[str | None]) -> Sheet:
    entries = []
    for line in members[said["member"]].split(b"\n")[:-1]:
        sha = next(shas)
        entry = _entry(json.loads(line), None if sha is None else bytes.fromhex(sha))
        if evidence.line(entry) != line:
            raise ValueError(f"{said['member']}: a line is not as it is written")
        entries.append(entry)
    return Sheet(
        said["number"],
        tuple(entries),
        _bytes(said["root"]),
        _bytes(said["bodies_root"]),
        tuple(bytes.fromhex(sha) for sha in said["bodies"]),
    )


def _entry(said: Mapping[str, Any], sha: bytes | None) -> records.Entry:
    return records.Entry(
        key=bytes.fromhex(said["key"]),
        generation=said["generation"],
        state=said["state"],
        endpoint_id=said["endpoint"],
        run_id=said["run"],
        sent_at=_EPOCH + timedelta(microseconds=said["sent"]),
        answered_at=None if said["answered"] is None else _EPOCH + timedelta(microseconds=said["answered"]),
        attempts=said["attempts"],
        maybe_billed=said["maybe_billed"],
        cost_micro=said["cost_micro"],
        elapsed=said["elapsed"],
        scores=said["scores"],
        floor=said["floor"],
        censored=said["censored"],
        parser=said["parser"],
        body_sha=sha,
        http_status=said["status"],
        content_type=said["type"],
        item=said["item"],
        items=said["items"],
        error=said["error"],
    )


def _probe(probe: records.Probe) -> dict[str, Any]:
    said: dict[str, Any] = _plain(dataclasses.replace(probe, table=b""))
    said["attributions"] = [[share.feature, _plain(share.value), share.std_error] for share in probe.attributions]
    return said


def _made_probe(said: dict[str, Any]) -> records.Probe:
    shares = [
        records.Attribution(feature, math.nan if value is None else value, error)
        for feature, value, error in said["attributions"]
    ]
    trust = {name: math.nan if figure is None else figure for name, figure in said["trust"].items()}
    tuples = {"findings": tuple(said["findings"]), "features": tuple(said["features"])}
    found: records.Probe = _made(records.Probe, said | {"attributions": tuple(shares), "trust": trust} | tuples)
    return dataclasses.replace(found, table=b"in the bundle")


#: Fields that JSON holds as texts.
_TIMES = {"started", "finished", "at"}
_BINARY = {"config_sha", "params_hash", "segments_sha", "table", "root", "previous", "hash"}


def _made(kind: Any, said: Mapping[str, Any]) -> Any:
    fields: dict[str, Any] = {}
    for name, value in said.items():
        if name in _TIMES and value is not None:
            fields[name] = datetime.fromisoformat(value)
        elif name in _BINARY and value is not None:
            fields[name] = bytes.fromhex(value)
        else:
            fields[name] = value
    return kind(**fields)


def _plain(value: Any) -> Any:
    """Records as JSON: bytes in hex, times in ISO 8601, what is not finite as null."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _json(value: Any) -> bytes:
    return json.dumps(value, indent=1).encode() + b"\n"


def _lines(values: Iterator[Any] | Sequence[Any]) -> bytes:
    return b"".join(json.dumps(value, separators=(",", ":")).encode() + b"\n" for value in values)


def _hex(value: bytes | None) -> str | None:
    return None if value is None else value.hex()


def _bytes(value: str | None) -> bytes | None:
    return None if value is None else bytes.fromhex(value)
