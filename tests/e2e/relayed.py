"""What a tab tells about the path that its media take."""

from __future__ import annotations

from typing import TYPE_CHECKING

from e2e.waiting import until

if TYPE_CHECKING:
    from collections.abc import Callable

    from playwright.async_api import Page

_SELECTED = """async () => {
    const reports = await icey.peerConnection?.getStats();
    for (const report of reports?.values() ?? []) {
        if (report.type !== "transport" || !report.selectedCandidatePairId) continue;
        const pair = reports.get(report.selectedCandidatePairId);
        const ours = reports.get(pair.localCandidateId);
        const theirs = reports.get(pair.remoteCandidateId);
        return {
            type: ours.candidateType,
            protocol: ours.relayProtocol ?? ours.protocol,
            url: ours.url ?? "",
            address: ours.address,
            remote: `${theirs.address}:${theirs.port}`,
        };
    }
    return null;
}"""


_PAIRS = """async () => {
    const reports = await icey.peerConnection.getStats();
    const pairs = [...reports.values()].filter((report) => report.type === "candidate-pair");
    return pairs.map((pair) => {
        const ours = reports.get(pair.localCandidateId);
        const theirs = reports.get(pair.remoteCandidateId);
        return `${ours.candidateType} ${ours.relayProtocol ?? ours.protocol} ${ours.priority} to `
            + `${theirs.address}:${theirs.port} ${theirs.candidateType}: ${pair.state}, `
            + `${pair.requestsSent} sent, ${pair.responsesReceived} answered, `
            + `rtt ${pair.currentRoundTripTime}`;
    });
}"""


async def selected_path(
    page: Page, is_wanted: Callable[[dict[str, str]], bool] = lambda _: True
) -> dict[str, str]:
    """The way of the media: our `type` and `address`, how TURN is reached, `remote`.

    A browser begins with the way that answers first, and goes over to a better one as soon as it
    knows that it works. So what is wanted is waited for.
    """
    seen: dict[str, str] = {}

    async def found() -> bool:
        seen.clear()
        seen.update(await page.evaluate(_SELECTED) or {})
        return bool(seen) and is_wanted(seen)

    try:
        await until(found, "the media take the way that is wanted", deadline_s=15)
    except AssertionError as error:
        pairs = await page.evaluate(_PAIRS)
        error.add_note(f"they take {seen}, of\n" + "\n".join(pairs))
        raise
    return seen
