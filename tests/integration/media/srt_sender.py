"""A real SRT sender for the tests: GStreamer's, on libsrt, run with the system's Python.

    /usr/bin/python3 srt_sender.py URI [PASSPHRASE]

Sends moving colour bars, 640x360 at 30 fps, as H.264 with a keyframe each second, and a 440 Hz
tone as AAC, in MPEG-TS; to every caller if the URI has ``mode=listener``. Prints ``ready`` once
it plays, and runs until it is terminated.

Needs Debian's python3-gi gstreamer1.0-plugins-{base,good,bad,ugly}.
"""

import sys

import gi

gi.require_version("Gst", "1.0")
from gi.repository import GLib, Gst  # noqa: E402 - versions come first

PIPELINE = (
    "mpegtsmux name=mux alignment=7 ! srtsink name=sink wait-for-connection=false "
    "videotestsrc is-live=true pattern=smpte horizontal-speed=2 "
    "! video/x-raw,width=640,height=360,framerate=30/1 "
    "! x264enc tune=zerolatency speed-preset=ultrafast bitrate=800 key-int-max=30 "
    "! video/x-h264,profile=baseline ! h264parse config-interval=-1 ! mux. "
    "audiotestsrc is-live=true wave=sine freq=440 volume=0.25 "
    "! audio/x-raw,rate=48000,channels=2 ! voaacenc bitrate=64000 ! aacparse ! mux."
)


def main() -> None:
    """Send until terminated."""
    Gst.init(None)
    pipeline = Gst.parse_launch(PIPELINE)
    sink = pipeline.get_by_name("sink")
    sink.set_property("uri", sys.argv[1])
    if len(sys.argv) > 2:
        sink.set_property("passphrase", sys.argv[2])
    if pipeline.set_state(Gst.State.PLAYING) == Gst.StateChangeReturn.FAILURE:
        sys.exit(f"cannot send to {sys.argv[1]}")
    print("ready", flush=True)  # noqa: T201
    GLib.MainLoop().run()


if __name__ == "__main__":
    main()
