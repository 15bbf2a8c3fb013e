"""Events on their way from the detectors' threads to the loop."""

import asyncio
import threading

from icey.config.model import Settings
from icey.intelligence.events import Event
from icey.media.source import parse_source
from icey.sessions import detection
from icey.sessions.detection import Detection


def event(number):
    """An event with a number."""
    return Event("icey:speech", {"number": number}, "stream/shared", "energy", 0)


def settings(**intelligence):
    """Settings with detectors or without."""
    return Settings.model_validate({"media": {"intelligence": intelligence}})


async def test_events_come_in_order():
    """Events that threads post are taken on the loop, in order."""
    taken, done = [], asyncio.Event()
    here = threading.get_ident()

    def take(one):
        assert threading.get_ident() == here
        taken.append(one.data["number"])
        if len(taken) == 100:
            done.set()

    detecting = Detection(settings(), asyncio.get_running_loop(), take)
    thread = threading.Thread(target=lambda: [detecting._post(event(n)) for n in range(100)])
    thread.start()
    async with asyncio.timeout(5):
        await done.wait()
    thread.join()
    assert taken == list(range(100))


async def test_the_oldest_events_give_way():
    """While the loop stands still a bounded number waits, the oldest are dropped and counted."""
    taken = []
    detecting = Detection(
        settings(), asyncio.get_running_loop(), lambda one: taken.append(one.data["number"])
    )
    for number in range(detection.WAITING + 7):
        detecting._post(event(number))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert taken == list(range(7, detection.WAITING + 7))
    assert detecting.status()["eventsDropped"] == 7


def test_events_after_the_end():
    """An event that comes after the end of the loop is discarded."""
    loop = asyncio.new_event_loop()
    detecting = Detection(settings(), loop, lambda _: None)
    loop.close()
    detecting._post(event(1))
    assert detecting.status()["eventsDropped"] == 0


async def test_nothing_is_wanted_by_default():
    """Without detectors there is no analysis; with one there is."""

    def detecting_with(made):
        return Detection(made, asyncio.get_running_loop(), lambda _: None)

    assert detecting_with(settings()).begin(parse_source("demo:"), "stream/shared") is None
    detecting = detecting_with(settings(speech={"enabled": True}))
    analysis = detecting.begin(parse_source("demo:"), "stream/shared")
    assert detecting.status()["speech"]["streams"] == 1
    analysis.stop()
    analysis.join()
    detecting.end(analysis)
    detecting.end(analysis)
    assert detecting.status()["speech"]["streams"] == 0
