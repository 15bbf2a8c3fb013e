#!/usr/bin/env bash
# Install the system packages that the tests need, where they are missing and can be installed.
# The server itself needs none of them.
set -euo pipefail

packages=()
PATH=$PATH:/usr/sbin:/sbin  # where users other than root may not look

have_browser() { command -v chromium || command -v chromium-browser || command -v google-chrome; }
have_browser >/dev/null || packages+=(chromium)

# The test camera is a small C library. Where Rust can link there is a compiler, but not always cc.
have_compiler() { command -v cc || command -v gcc || command -v clang; }
have_compiler >/dev/null && [ -e /usr/include/linux/videodev2.h ] || packages+=(gcc libc6-dev)

# Recordings are to please FFmpeg's own programs, not only its libraries.
have_ffmpeg() { command -v ffmpeg && command -v ffprobe; }
have_ffmpeg >/dev/null || packages+=(ffmpeg)

# Speech whose beginning and end are known is spoken by a machine.
command -v espeak-ng >/dev/null || packages+=(espeak-ng)

# The RTSP server and the SRT sender that the tests start are GStreamer's, driven by the system's
# Python.
have_rtsp_server() {
  /usr/bin/python3 - <<'PY'
import gi
gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import Gst, GstRtspServer
Gst.init(None)
elements = "x264enc rtph264pay voaacenc rtpmp4gpay srtsink"
missing = [name for name in elements.split() if not Gst.ElementFactory.find(name)]
raise SystemExit(bool(missing))
PY
}
have_rtsp_server >/dev/null 2>&1 || packages+=(
  python3-gi gir1.2-gst-rtsp-server-1.0 gstreamer1.0-plugins-base gstreamer1.0-plugins-good
  gstreamer1.0-plugins-bad gstreamer1.0-plugins-ugly
)

# TURN is tried by clients of coturn's, and by a browser behind a router of nftables.
have_turn_clients() { command -v turnutils_uclient && command -v turnutils_peer; }
have_turn_clients >/dev/null || packages+=(coturn)
command -v nft >/dev/null || packages+=(nftables)
command -v ip >/dev/null || packages+=(iproute2)

[ ${#packages[@]} -eq 0 ] && exit 0

command="apt-get install --yes --no-install-recommends ${packages[*]}"
if ! command -v apt-get >/dev/null; then
  echo "The tests need these Debian packages, or your system's like of them: ${packages[*]}" >&2
  exit 1
fi
if [ "$(id -u)" -eq 0 ]; then
  run=()
elif sudo -n true 2>/dev/null; then
  run=(sudo)
else
  echo "The tests need packages that only root can install. Please run: sudo $command" >&2
  exit 1
fi
echo "installing for the tests: ${packages[*]}"
export DEBIAN_FRONTEND=noninteractive
# Of coturn only the clients are wanted: its server would take icey's own port, 3478.
if [[ " ${packages[*]} " == *" coturn "* && -d /run/systemd/system ]]; then
  "${run[@]}" systemctl mask --quiet coturn.service
fi
"${run[@]}" apt-get update -qq
"${run[@]}" $command -qq >/dev/null
