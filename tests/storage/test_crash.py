"""Processes killed in the middle of writing, and several of them writing the same ledger."""

from __future__ import annotations

import hashlib
import signal
import subprocess
import sys
from pathlib import Path

from storage import Store
from tests.storage import builders

#: Journals intent and answer of evaluations first … first+count−1, many in flight, and prints what is acknowledged.
WRITER = """
import hashlib, os, sys, threading
from storage import Journal, Store
from tests.storage import builders

url, run_id, first, count = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
store = Store.open(url, timeout=30)
in_flight = threading.Semaphore(20)

def say(word, number):
    os.write(1, f"{word} {number}\\n".encode())

def done(future, word, number):
    if future.exception() is not None:
        say(repr(future.exception()), number)
    else:
        say(word, number)
        if word == "sent":
            body = b'{"answer": %d}' % number
            answer = builders.answered(number, run_id=run_id, body_sha=hashlib.sha256(body).digest())
            journal.record([answer], [body]).add_done_callback(lambda f: done(f, "answered", number))
            return
    in_flight.release()

print("ready", flush=True)
with Journal(store) as journal:
    for number in range(first, first + count):
        in_flight.acquire()
        journal.intend([builders.intended(number, run_id=run_id)]).add_done_callback(
            lambda f, number=number: done(f, "sent", number)
        )
    for _ in range(20):
        in_flight.acquire()
"""


def writer(url: str, *, run_id: str = "7f3a0001", first: int = 0, count: int) -> subprocess.Popen[str]:
    arguments = [sys.executable, "-c", WRITER, url, run_id, str(first), str(count)]
    root = Path(__file__).parents[2]
    return subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True, cwd=root)


def told(process: subprocess.Popen[str], upto: int | None = None) -> dict[str, set[int]]:
    """What ``process`` said was on disk: all of it, or until it has said so ``upto`` times, when it is killed."""
    said: dict[str, set[int]] = {"sent": set(), "answered": set()}
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    for line in process.stdout:  # after the kill: what was still in the pipe had been acknowledged too
        word, _, number = line.rpartition(" ")
        said[word].add(int(number))
        if upto is not None and len(said["sent"]) + len(said["answered"]) == upto:
            process.kill()
    return said


def test_whatever_was_acknowledged_survives_a_kill(store: Store, storage_url: str) -> None:
    count = 2_000
    with writer(storage_url, count=count) as process:
        said = told(process, upto=300)
    assert process.returncode == -signal.SIGKILL
    keys = [builders.key(number) for number in range(count)]
    found = store.lookup(keys)
    for number in said["sent"]:
        assert builders.key(number) in found
    for number in said["answered"]:
        assert found[builders.key(number)].state == "answered"
    answers = [entry for entry in found.values() if entry.state == "answered"]
    assert len(answers) < count  # it was killed in the middle
    shas = {entry.body_sha for entry in answers}
    assert shas == store.bodies([sha for sha in shas if sha]).keys()
    assert len(shas) == len(answers) == store.counts()["bodies"]  # a row and its body come together
    assert sum(usage.cost_micro for usage in store.usage()) == 2000 * len(answers)

    # the same again, to the end: nothing is there twice
    with writer(storage_url, count=200) as again:
        assert len(told(again)["answered"]) == 200
    assert again.returncode == 0
    counts = store.counts()
    found = store.lookup(keys)
    assert counts["evaluations"] == len(store.entries(keys)) == len(found)
    assert all(found[key].state == "answered" for key in keys[:200])


def test_two_processes_may_write_the_same_ledger(store: Store, storage_url: str) -> None:
    store.start_run(builders.run("other"))
    with writer(storage_url, count=300) as one, writer(storage_url, run_id="other", first=200, count=300) as other:
        assert [len(told(process)["answered"]) for process in (one, other)] == [300, 300]
    found = store.entries([builders.key(number) for number in range(500)])
    assert [entry.key for entry in found] == [builders.key(number) for number in range(500)]
    assert {entry.state for entry in found} == {"answered"}
    assert store.counts()["bodies"] == 500
    for number, entry in enumerate(found):
        assert entry.body_sha == hashlib.sha256(b'{"answer": %d}' % number).digest()
    # a hundred were asked by both, at the same time or one after the other, and paid for twice
    assert 500 <= store.usage()[0].requests <= 600
    assert sum(entry.cost_micro for entry in found) <= store.usage()[0].cost_micro <= 600 * 2000
