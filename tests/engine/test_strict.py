"""What is promised about rate limits, judged by the server alone."""

from __future__ import annotations

from storage import Store
from tests.engine.harness import Sending, text, text_adapter
from tests.servers import RunningServer


def test_a_strict_sliding_window_is_kept_and_used(server: RunningServer, store: Store) -> None:
    """20 requests in any second, 100 evaluations, 1 % of first attempts fail."""
    evaluations, limit = 100, 20
    server.set_strict({"rate": {"limit": limit, "window": 1.0}, "faults": {"status500": 0.01, "seed": 1}})
    sending = Sending(text_adapter(server.url, limits={"rate": f"{limit}/s"}), store)
    texts = [text(number) for number in range(evaluations)]
    dispatcher = sending.run(texts)
    counts = server.counts()
    injected = counts["faults"].get("status500", 0)
    assert injected >= 1, "the seed is chosen so that there is one"
    assert counts["refused_429"] == 0
    assert counts["requests"] == dispatcher.stats.sent == evaluations + injected
    assert (counts["billed_items"], counts["billed_by_item_max"]) == (evaluations, 1)
    assert sending.by_state() == {"answered": evaluations}
    # first arrival to last answer, on the server's clock
    assert counts["span"] <= 1.05 * counts["requests"] / limit
