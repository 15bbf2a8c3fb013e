"""Storage: MP4 files that survive a crash, and the folders of recordings, clips and snapshots."""
