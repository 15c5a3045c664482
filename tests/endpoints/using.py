"""``probe`` as a user of a server has it: a config as written by hand, and the same endpoint as an adapter."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from string import Template
from textwrap import dedent
from typing import Any

import yaml

from adapters import Adapter, AdapterError, HttpResponse, Instance, ItemError, endpoint_from_config, open_transport
from tests.cli.program import Done, here


def written(folder: Path, text: str, /, **values: object) -> Path:
    """``text`` as ``probe.yaml`` in ``folder``, with ``@url`` and the like filled in."""
    path = folder / "probe.yaml"
    path.write_text(filled(text, **values), encoding="utf-8")
    return path


class _At(Template):
    delimiter = "@"  # ${…} is the config's own


def filled(text: str, /, **values: object) -> str:
    return _At(dedent(text)).substitute(values)


def run(folder: Path, text: str, /, env: Mapping[str, str] | None = None, **values: object) -> Done:
    """``probe run`` with that config."""
    written(folder, text, **values)
    return here("run", "--json", "--quiet", cwd=folder, env=env)


def endpoint(text: str, /, env: Mapping[str, str] | None = None, **values: object) -> Adapter:
    """The only endpoint of a config."""
    [(name, config)] = yaml.safe_load(filled(text, **values))["endpoints"].items()
    return endpoint_from_config(name, config, environment=env or {}, base=Path())


def send(
    adapter: Adapter, batch: Sequence[Instance], *, env: Mapping[str, str] | None = None
) -> HttpResponse | AdapterError:
    """One request, and what came of it."""

    async def work() -> HttpResponse | AdapterError:
        transport = open_transport(adapter, environment=env or {})
        try:
            answer: HttpResponse = await transport.send(adapter.request(batch))
        except AdapterError as error:
            return error
        finally:
            await transport.aclose()
        return answer

    return asyncio.run(work())


def scores(
    adapter: Adapter, batch: Sequence[Instance], *, env: Mapping[str, str] | None = None
) -> list[dict[str, float]]:
    """The scores of every input in ``batch``."""
    answer = send(adapter, batch, env=env)
    assert not isinstance(answer, AdapterError), answer
    found = adapter.predictions(answer, len(batch))
    for each in found:
        assert not isinstance(each, ItemError), each
    return [dict(each.scores) for each in found if not isinstance(each, ItemError)]


def probe_of(done: Done, probe: str, method: str) -> dict[str, Any]:
    """What ``--json`` says of one probe."""
    found: dict[str, Any]
    [found] = [each for each in done.json["probes"] if (each["probe"], each["method"]) == (probe, method)]
    return found


def shares(done: Done, probe: str, method: str) -> dict[str, float]:
    """Feature → attribution of one finished probe."""
    assert done.code == 0, done.err
    return {each["feature"]: each["value"] for each in probe_of(done, probe, method)["attributions"]}
