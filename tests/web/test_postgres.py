"""The same service over Postgres."""

from __future__ import annotations

from pathlib import Path

from tests.servers import RunningServer
from tests.web.serving import fill, serving, waited


def test_pages_and_jobs_over_postgres(server: RunningServer, postgres_url: str, tmp_path: Path) -> None:
    older, newer = fill(tmp_path, server.url, storage=postgres_url)
    with serving(tmp_path) as service, service.client(accept="text/html") as client:
        assert [each["id"] for each in client.get("/runs.json").json()] == [newer, older]
        probes = client.get(f"/api/v1/runs/{newer}/probes").json()["probes"]
        paths = [f"/probes/{each['id']}" for each in probes]
        paths += [f"/probes/{probes[0]['id']}/requests/1", f"/probes/{probes[0]['id']}/history"]
        paths += [
            "/",
            "/runs?text=ramp&method=lime",
            f"/runs/{newer}",
            f"/diff?a={older}&b={newer}",
            "/search?feature=refund",
        ]
        paths += ["/sql?q=SELECT count(*) FROM run", "/queue", "/metrics", "/readyz", "/runs?text=%00"]
        for path in paths:
            assert client.get(path, follow_redirects=True).status_code == 200, path
        assert client.get("/sql?q=DELETE FROM run RETURNING 1").status_code == 400
        job = client.post("/api/v1/jobs", json={"config": "probe.yaml", "seed": 5, "only": ["loans"]}).json()
        assert waited(client, job["id"], until=["finished", "failed"])["exit_code"] == 0
        assert service.stop() == 0
