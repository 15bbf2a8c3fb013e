"""Disks that are full, folders that vanish: a clear word to the caller, and nobody else suffers."""

from __future__ import annotations

import asyncio
import hashlib
import shutil
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from bench.server import write_config

from e2e.aiortc_publisher import aiortc_publisher
from e2e.recording_file import read_recording
from e2e.server_process import running_server, start
from e2e.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MIB = 2**20


@contextmanager
def small_disk(folder: Path, size: int) -> Iterator[Path]:
    """A file system of so many bytes; it needs the right to mount."""
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder],
        capture_output=True,
        text=True,
        check=False,
    )
    if mounted.returncode != 0:
        pytest.skip(f"a small disk cannot be mounted here: {mounted.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def settings_for(folder: Path, **record: object) -> dict[str, dict[str, object]]:
    return {"media": {"mode": "record", "recordDir": str(folder), "record": record}}


def finished(folder: Path) -> list[Path]:
    return sorted(folder.glob("camera-*.mp4"))


@pytest.mark.parametrize(
    ("floor", "word"), [(0, "full"), (3 * MIB, "free")], ids=["disk full", "below the floor"]
)
async def test_a_disk_without_room_ends_the_recording_with_its_reason(tmp_path, floor, word):
    """The caller hears why, the file plays up to there, an older file is untouched."""
    with small_disk(tmp_path / "disk", 4 * MIB) as disk:
        older = disk / "older.mp4"
        older.write_bytes(b"\x5a" * (MIB // 2))
        before = hashlib.sha256(older.read_bytes()).digest()
        async with running_server(
            tmp_path, settings=settings_for(disk, minFreeBytes=floor)
        ) as server:
            async with aiortc_publisher(server.url, "camera") as publisher:
                await until(lambda: list(disk.glob("camera-*.part")), "it records")
                filler = disk / "filler"
                filler.write_bytes(b"\0" * (2 * MIB if floor else 3 * MIB))
                hangup = await publisher.caller.receive("call:hangup", within_s=60)
            assert word in hangup["data"]["reason"]
            assert str(disk) not in hangup["data"]["reason"]
            await until(lambda: finished(disk), "what was recorded has its name")
            await server.sessions_become(0)
            assert await server.answers()
            filler.unlink()
        [file] = finished(disk)
        assert len(read_recording(file).pictures) > 5
        assert hashlib.sha256(older.read_bytes()).digest() == before


async def test_a_folder_that_vanishes_ends_the_recording_and_comes_back(tmp_path):
    """The caller hears why, the server lives on, and the next call is recorded again."""
    folder = tmp_path / "recordings"
    async with running_server(tmp_path, settings=settings_for(folder)) as server:
        async with aiortc_publisher(server.url, "camera") as publisher:
            await until(lambda: list(folder.glob("*.part")), "it records")
            shutil.rmtree(folder)
            hangup = await publisher.caller.receive("call:hangup", within_s=20)
        assert "folder" in hangup["data"]["reason"]
        await server.sessions_become(0)
        folder.mkdir(exist_ok=True)
        async with aiortc_publisher(server.url, "camera"):
            await until(lambda: list(folder.glob("*.part")), "it records again")
        [file] = await until(lambda: finished(folder), "finished")
        assert read_recording(file).pictures


async def test_a_folder_that_cannot_be_made_is_exit_code_4(tmp_path):
    """The start is refused, and the reason names the setting and what to do."""
    (tmp_path / "occupied").write_text("a file, not a folder")
    config, port = write_config(tmp_path, settings_for(tmp_path / "occupied" / "recordings"))
    server = await start(tmp_path, config, port)
    async with asyncio.timeout(20):
        assert await server.process.wait() == 4
    assert "record_dir" in server.output
    assert "recordDir" in server.output or "--record-dir" in server.output
    await server.kill()
