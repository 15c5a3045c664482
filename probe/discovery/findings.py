"""What ``probe check-endpoint`` warns of. Each code is worded here once; ``probe explain P401`` prints it."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from probe.methods.findings import FindingText

FINDINGS: Mapping[str, FindingText] = MappingProxyType(
    {
        "P401": FindingText(
            "the scores are not probabilities that add up to 1",
            "Explanations work on any score, but read it for what it is: independent labels (each between 0 and 1) and levels "
            "are fine, percentages want scale: 0.01 beside at, and log-odds are explained in log-odds. If the endpoint is "
            "known to give probabilities, scores may point at the wrong numbers.",
        ),
        "P402": FindingText(
            "there are only hard labels",
            "Every score is 0 or 1, so a change shows only when it turns the answer: most single replacements will show "
            "nothing. Ask for probabilities if there are any (another output or route, logprobs, predict_proba). If there "
            "are none, use methods that replace several features at once, and repeats where answers are sampled.",
        ),
        "P403": FindingText(
            "labels are left out of the answers",
            "The endpoint returns only its best labels, or those above a threshold. A label that is left out is known only to "
            "have scored at most as much as the lowest returned one, so effects that push it down are understated. Ask for all "
            "labels if it can be done (top_k, MaxLabels, MinConfidence: 0), and say missing: censored beside scores.",
        ),
        "P404": FindingText(
            "an input is answered differently in a batch than alone",
            "The same input got other scores as part of a batch than in a request of its own, by more than its answers differ "
            "anyway. The rows may come in another order (name index or id under items), the batch may be padded or normalised "
            "as a whole, or the server mixes requests up. Until that is put right, write batch: 1.",
        ),
        "P405": FindingText(
            "the same input is answered differently each time",
            "Explanations then hold the endpoint's noise as well. Ask each input several times (repeats: 3) and the noise is "
            "measured and carried into the intervals; effects smaller than it cannot be seen. For language models set "
            "temperature: 0; differences in the seventh digit are rounding.",
        ),
        "P406": FindingText(
            "the answer does not say that it is JSON",
            "Its content type is another one, although its body could be read as JSON. That is harmless in itself, but "
            "gateways and error pages look like this too: see in the exchange above that it is the model that answers.",
        ),
        "P407": FindingText(
            "the endpoint announces limits that the config does not have",
            "Announced limits are heeded once they are seen, but the plan cannot reckon with them and the first requests may "
            "be refused. Write them under limits, such as rate: 60/min, also: [10000/day].",
        ),
        "P408": FindingText(
            "two different inputs got the same scores",
            "Either the model does not tell them apart, or it never saw them: look in the exchange above whether the input "
            "stands where the model takes it from, and whether the answer is one for a missing or cut-off input.",
        ),
    }
)

#: codes that say that answers are wrong, not only less than one would wish: they make the exit code 1
WRONG = frozenset({"P404"})
