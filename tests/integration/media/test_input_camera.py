"""A webcam through FFmpeg's V4L2 code, each time in a process that sees the test camera."""

import pytest

from integration.media.camera import BARS, UNCOMPRESSED, Camera

SMPTE170M, BT470BG = 6, 5


@pytest.fixture
def camera(tmp_path):
    """An ordinary webcam, which really sends in two of its modes."""
    return Camera(tmp_path, pictures=("MJPG-1280x720", "YUYV-640x480"))


@pytest.mark.alone
@pytest.mark.parametrize(
    ("video", "fourcc", "size"),
    [
        ({}, "MJPG", (1280, 720)),
        ({"width": 640, "height": 480}, "YUYV", (640, 480)),
    ],
)
def test_mode_that_fits(camera, video, fourcc, size):
    """It is asked for the format that reaches size and rate; its pictures come at once."""
    seen = camera.ask("watch", pictures=30, video=video)
    asked = camera.streamed[-1]
    assert (asked.fourcc, asked.size, asked.rate) == (fourcc, size, 30)
    assert tuple(seen["size"]) == size
    assert sorted(seen["ages"])[15] < 0.05
    assert seen["damaged"] == 0
    assert camera.log.count("open") == camera.log.count("close") == 2  # to ask, and to stream


def test_rate_is_asked_for(camera):
    """A lower rate that is enough is asked for."""
    camera.ask("watch", pictures=3, video={"fps": 12})
    assert camera.streamed[-1].rate == 15


def test_matrix(tmp_path):
    """Uncompressed pictures are BT.601 in every size, as webcams send them."""
    camera = Camera(tmp_path, UNCOMPRESSED, ("YUYV-1280x720",))
    seen = camera.ask("watch", pictures=2, video={"fps": 10})
    assert (seen["size"], seen["matrix"]) == ([1280, 720], SMPTE170M)


@pytest.mark.alone
def test_picture_outlives_the_device(camera):
    """Pictures that are held stay good when the device is closed, and nothing goes back to it."""
    seen = camera.ask("watch", pictures=40, video={"width": 640, "height": 480}, hold=True)
    for bars in seen["bars"]:
        for expected, colour in zip(BARS, bars, strict=True):
            assert colour == pytest.approx(expected, abs=6)
    # 40 are more than the device has buffers: none of them is kept from it.
    assert max(seen["ages"]) < 0.5
    assert "late-queue" not in camera.log


@pytest.mark.parametrize("video", [{}, {"width": 640, "height": 480}])
def test_damaged_pictures_are_left_out(camera, video):
    """Pictures that the device flags as corrupt, the first one too, are left out and counted."""
    camera.set("damaged")
    seen = camera.ask("watch", pictures=10, video=video)
    assert seen["damaged"] >= 9
    assert "late-queue" not in camera.log


def test_nothing_but_damaged_pictures(camera, tmp_path):
    """Where nothing else comes any more, the camera counts as lost."""
    seen = camera.ask("fail", then="corrupt", folder=str(tmp_path), most_damaged=15)
    assert seen["error"] == "v4l2:video7: only damaged pictures come"
    assert 0.4 < seen["seconds"] < 3


def test_driver_without_enumeration(camera):
    """An old driver that does not tell its modes is asked for the configured size."""
    camera.set("silent")
    assert camera.ask("modes") == []
    seen = camera.ask("watch", pictures=3, video={"width": 640, "height": 480})
    assert seen["size"] == [640, 480]


def test_modes(camera):
    """All modes are told, each with the rate that fits."""
    assert camera.ask("modes", fps=15) == [
        ["yuyv422", 640, 480, 15],
        ["yuyv422", 1280, 720, 10],
        ["mjpeg", 640, 480, 15],
        ["mjpeg", 1280, 720, 15],
        ["mjpeg", 1920, 1080, 30],
    ]


@pytest.mark.alone
def test_camera_with_its_own_h264(tmp_path):
    """A camera that gives nothing but H.264 plays."""
    camera = Camera(tmp_path, ("H264 1280 720 30",), ("H264-1280x720",))
    seen = camera.ask("watch", pictures=30)
    assert (seen["format"], seen["size"], seen["damaged"]) == ("yuv420p", [1280, 720], 0)
    assert sorted(seen["ages"])[15] < 0.1


def test_nothing_is_left_open(camera):
    """Opened and closed twelve times, it leaves no descriptor and no thread behind."""
    early, late = camera.ask("cycle", times=12)
    assert early == late
    assert camera.users == 0


def test_pulled_out(camera, tmp_path):
    """A camera that is pulled out is missed at once."""
    seen = camera.ask("fail", then="unplugged", folder=str(tmp_path))
    assert seen["error"] == "v4l2:video7: No such device"
    assert seen["seconds"] < 1


def test_freezes(camera, tmp_path):
    """A camera that sends nothing more is given up after the read timeout."""
    seen = camera.ask("fail", then="frozen", folder=str(tmp_path), read_timeout=0.5)
    assert seen["error"] == "v4l2:video7: no picture came in time"
    assert 0.4 < seen["seconds"] < 3


@pytest.mark.parametrize("first", ["MJPG 1280 720 30", "YUYV 640 480 30"])
def test_never_sends(tmp_path, first):
    """A camera that never sends anything is given up after the open timeout."""
    camera = Camera(tmp_path, (first,), (first[:4] + "-" + "x".join(first.split()[1:3]),))
    camera.set("frozen")
    seen = camera.ask("fail", open_timeout=0.5, read_timeout=0.5)
    assert seen["error"] == "v4l2:video7: no picture came in time"
    assert seen["seconds"] < 3
    assert camera.users == 0


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ("unplugged", "No such file or directory"),
        ("forbidden", "Permission denied"),
        ("metadata", "this device gives no pictures; the camera's other one may"),
    ],
)
def test_cannot_be_opened(camera, state, words):
    """The reason is given, with the camera's public name."""
    camera.set(state)
    assert camera.ask("fail")["error"] == f"v4l2:video7: {words}"


def test_probe(camera):
    """A probe opens the camera in the mode that viewers will get."""
    assert camera.ask("describe") == ["mjpeg", 1280, 720, 30, ""]
