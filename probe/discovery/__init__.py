"""From what a server publishes about itself to a draft of an endpoint. Pure: the command line does the asking."""

from __future__ import annotations

from probe.discovery.base import Ask, Draft, Found, Seen
from probe.discovery.draft import added_to, document
from probe.discovery.explore import Explored, base_url, explore
from probe.discovery.fitted import fitted

__all__ = ["Ask", "Draft", "Explored", "Found", "Seen", "added_to", "base_url", "document", "explore", "fitted"]
