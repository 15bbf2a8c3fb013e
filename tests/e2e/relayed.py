"""What a tab tells about the path that its media take."""

from __future__ import annotations

from typing import TYPE_CHECKING

from e2e.waiting import until

if TYPE_CHECKING:
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


async def selected_path(page: Page) -> dict[str, str]:
    """The way of the media: our `type` and `address`, how TURN is reached, `remote`."""
    path: dict[str, str] = await until(lambda: page.evaluate(_SELECTED), "a selected path")
    return path
