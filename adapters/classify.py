"""What an answer or a failure means, from its status, headers and body."""

from __future__ import annotations

import re
from typing import Any

from adapters.base import HttpResponse, Verdict
from adapters.documents import Documents
from adapters.errors import AdapterError, MaybeBilled, NoCredentials, NotJson, NotSent, ResponseError
from adapters.ratelimit import Now, retry_after
from adapters.read_json import Query, parse_json, truthy
from adapters.show import excerpt, gist, shown
from adapters.spec_limits import RETRY_ON, Retry

#: a longer announced pause is a used-up allowance, not a pause
LONG_WAIT = 3600.0

_BROKEN = {404, 405, 406, 410, 411, 421, 426, 501, 505}
_PAGE = re.compile(rb"(?:\xef\xbb\xbf)?\s*<")
_PERIOD = r"(daily|monthly|per[-_ ]?day|per[-_ ]?month)"
_SPENT = re.compile(
    rb"insufficient_quota|billing_hard_limit|credit balance is too low|out of call volume quota", re.IGNORECASE
)
#: refused credentials that come as 400: AWS's JSON protocols, an invalid key at Google, TorchServe's tokens
_REFUSED = re.compile(
    rb'"__type"\s*:\s*"[^"]*(?:UnrecognizedClient|InvalidSignature|IncompleteSignature|MissingAuthenticationToken|'
    rb"ExpiredToken|AccessDenied|NotAuthorized|InvalidClientTokenId|SubscriptionRequired)"
    rb'|"reason"\s*:\s*"API_KEY_INVALID"|"type"\s*:\s*"InvalidKeyException"'
)
_LONG_PERIOD = re.compile(
    rf"{_PERIOD}[^.]{{0,40}}(limit|quota)|(limit|quota)[^.]{{0,60}}{_PERIOD}".encode(), re.IGNORECASE
)


class Classifier:
    """The verdicts of one endpoint. ``now`` is asked only for a ``Retry-After`` date in an answer that has no ``Date``."""

    def __init__(
        self,
        endpoint: str,
        host: str,
        *,
        retry: Retry,
        error: str | None,
        failed: str | None = None,
        documents: Documents | None = None,
        now: Now | None = None,
    ) -> None:
        self._endpoint = endpoint
        self._host = host
        self._documents = documents or Documents(endpoint, None)
        on, never = frozenset(retry.on), frozenset(retry.never)
        self._extra = on - frozenset(RETRY_ON)  # added by the config: this beats the built-in meaning of a status
        self._wanted = on if "on" in retry.model_fields_set else frozenset[int]()
        self._forbidden = never if "never" in retry.model_fields_set else frozenset[int]()
        self._never = never if "never" in retry.model_fields_set else never - on
        self._again = on - self._never
        self._errors = [Query(path) for path in (error, failed) if path]
        self._when = Query(retry.when) if retry.when else None
        self._same_max = retry.same_5xx_max
        self._now = now

    def classify(self, outcome: HttpResponse | AdapterError) -> Verdict:
        """The verdict on an answer, or on why there is none."""
        if isinstance(outcome, HttpResponse):
            return self._success(outcome) if 200 <= outcome.status < 300 else self._failure(outcome)
        reason = str(outcome)
        if isinstance(outcome, NoCredentials):
            return Verdict("auth", reason)
        if isinstance(outcome, NotSent):
            return Verdict("retry", reason)
        if isinstance(outcome, MaybeBilled):
            return Verdict("retry", reason, maybe_billed=True)
        if isinstance(outcome, NotJson) and outcome.kind == "cut":
            return Verdict("retry", reason, maybe_billed=True)
        if isinstance(outcome, ResponseError):
            return Verdict("broken", reason)
        return Verdict("reject", reason)

    def _success(self, response: HttpResponse) -> Verdict:
        if _PAGE.match(response.body):
            return Verdict("broken", f"{self._start(response)} with a page instead of JSON: {excerpt(response.body)}")
        reported = self._reported(response.body)
        if reported is None:
            return Verdict("ok")
        reason = f"{self._start(response)} that reports an error {reported}"
        if self._asks_again(response):
            return Verdict("retry", reason, after=retry_after(response.headers, now=self._now), throttled=True)
        return Verdict("reject", reason)

    def _reported(self, body: bytes) -> str | None:
        """The error inside of an answer that looks well by its status, and where it stands."""
        refusal = self._documents.refusal(body)
        if refusal is not None:
            return f"in its stream: {shown(refusal)}"
        if not self._errors:
            return None
        try:
            document = self._documents.parse(body)
            for query in self._errors:
                if truthy(found := query(document)):
                    return f"({query.path}): {shown(found)}"
        except ResponseError:
            pass  # reading the scores will say what is wrong
        return None

    def _failure(self, response: HttpResponse) -> Verdict:
        status = response.status
        reason = f"{self._start(response)}: {gist(response.body)}"
        after = retry_after(response.headers, now=self._now)
        if self._asks_again(response):
            return Verdict("retry", reason, after=after, throttled=True)
        if status in self._extra and status in self._again:
            return Verdict("retry", reason, after=after, throttled=after is not None, same_max=self._same_max)
        if status == 402 or (status in (403, 429) and _quota_spent(response, after)):
            return Verdict("quota", f"the allowance is used up, {reason}", after=after)
        if status in (401, 403, 407) or (status == 400 and _REFUSED.search(response.body[:4096])):
            return Verdict("auth", f"the credentials are refused, {reason}")
        if 300 <= status < 400:
            to = shown(response.header("location") or "nowhere")
            return Verdict(
                "broken", f"{self._start(response)}, a redirect to {to}, which is not followed: set url to it"
            )
        if status in _BROKEN or status < 200:
            return Verdict("broken", f"{reason}; are url and method right?")
        if self._worth_repeating(response):
            throttled = status == 429 or (status in (503, 529) and after is not None)
            return Verdict("retry", reason, after=after, throttled=throttled, same_max=self._same_max)
        return Verdict("reject", reason)

    def _worth_repeating(self, response: HttpResponse) -> bool:
        """The server's word (``x-should-retry``: OpenAI, Anthropic and others) beats our lists, the config's lists beat it."""
        status, said = response.status, response.header("x-should-retry")
        if said == "true" and status not in self._forbidden:
            return True
        if said == "false" and status != 429 and status not in self._wanted:
            return False
        return status in self._again or (status > 505 and status not in self._never)

    def _start(self, response: HttpResponse) -> str:
        return f"endpoint {self._endpoint!r}: HTTP {response.status} from {self._host}"

    def _asks_again(self, response: HttpResponse) -> bool:
        if self._when is None:
            return False
        try:
            return truthy(self._when(self._told(response)))
        except ResponseError:
            return False

    def _told(self, response: HttpResponse) -> Any:
        """What a failure says: a document of its own, or the error in a stream."""
        if not 200 <= response.status < 300:
            return parse_json(response.body, self._endpoint)
        refusal = self._documents.refusal(response.body)
        return self._documents.parse(response.body) if refusal is None else refusal


def _quota_spent(response: HttpResponse, after: float | None) -> bool:
    beginning = response.body[:4096]
    if _SPENT.search(beginning):
        return True
    if response.status != 429:
        return False
    if after is not None:
        return after >= LONG_WAIT
    if response.header("x-should-retry") == "false":  # too many, and no use to come back
        return True
    return bool(_LONG_PERIOD.search(beginning))
