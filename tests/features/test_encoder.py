from __future__ import annotations

import re
import subprocess
import sys

import pytest
from dualstream.features import encoder
from dualstream.features.encoder import (
    EncoderEntry,
    EncoderOptions,
    StreamName,
    build,
    is_learned_from_labels,
    names,
    register,
    weights_from_file,
)

from dualstream import discovery

WITHOUT_PACKAGES = """
import sys
for package in ("torchvision", "librosa", "ffmpeg", "imageio_ffmpeg"):
    sys.modules[package] = None  # what an import then raises is ModuleNotFoundError, as on a slim install
from dualstream.features.encoder import EncoderOptions, build, names
print(*names("video"))
for text in ("vgg16", "torchvision:resnet18"):
    try:
        build("video", text, EncoderOptions(weights="random:0"))
    except ValueError as error:
        print(error)
print(build("video", "cnn5", EncoderOptions(weights="random:0")).spec.raw_width)
"""


def run_python(code: str) -> list[str]:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    return done.stdout.splitlines()


def test_the_contract_is_light() -> None:
    heavy = "{'torch', 'torchvision', 'librosa', 'scipy'}"
    code = f"import sys, features.encoder, features.windows; print(*{heavy} & set(sys.modules))"
    assert run_python(code) == [""]


def test_finding_encoders_is_light() -> None:
    """Names, refusals and tables cost neither torch nor an audio library."""
    code = (
        "import sys\nfrom dualstream.features.encoder import EncoderOptions, build, names\n"
        "names('video')\nfor text in ('vgg17', 'acoustic'):\n"
        "    try:\n        build('video', text, EncoderOptions())\n"
        "    except ValueError:\n        pass\n"
        "print(*{'torch', 'torchvision', 'librosa', 'numba', 'scipy'} & set(sys.modules))"
    )
    assert run_python(code) == [""]


def test_a_slim_install_says_what_to_install() -> None:
    listed, vgg16, resnet, width = run_python(WITHOUT_PACKAGES)
    assert {"vgg16", "torchvision", "cnn5", "table"} <= set(listed.split())
    for message in (vgg16, resnet):
        assert re.search(r"need the package torchvision: pip install -e '.+\[extract\]'", message)
    assert width == "100"


def test_a_module_that_lacks_its_package_is_left_out_and_named(monkeypatch: pytest.MonkeyPatch) -> None:
    names("audio")
    place = ("dualstream.features.encoders", discovery.ENCODERS_GROUP)
    monkeypatch.setitem(discovery._LOADED, place, (discovery.SkippedModule("features.somewhere", "librosa"),))
    with pytest.raises(ValueError, match=r"features.somewhere needs librosa; pip install -e '.+\[extract\]'"):
        build("audio", "nothing", EncoderOptions())


def test_an_unknown_name_lists_the_known() -> None:
    with pytest.raises(
        ValueError,
        match=r"no video encoder is called 'vgg17' \(did you mean vgg16\?\); there are: cnn5, .*table, .*vgg16",
    ):
        build("video", "vgg17:x", EncoderOptions())


@pytest.mark.parametrize(
    ("stream", "text", "said"),
    [
        (
            "audio",
            "vgg16",
            "'vgg16' is an encoder of video; use --video vgg16, or one of audio, which are: acoustic, ",
        ),
        ("audio", "torchvision:resnet18", "use --video torchvision:resnet18, or one of audio"),
        (
            "video",
            "acoustic",
            "'acoustic' is an encoder of audio; use --audio acoustic, or one of video, which are: ",
        ),
    ],
)
def test_an_encoder_of_the_other_stream_is_told_so(stream: StreamName, text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        build(stream, text, EncoderOptions())


def test_a_name_given_twice_fails() -> None:
    names("video")
    with pytest.raises(ValueError, match=r"video encoder 'vgg16' is registered twice"):
        register("video", "vgg16")(lambda argument, options: pytest.fail("built"))


@pytest.mark.parametrize(
    ("stream", "name", "says"),
    [
        ("vidio", "mine", r"encoder 'mine': stream is 'vidio'; expected video or audio"),
        ("video", "none", r"encoder 'none': expected small letters"),
        ("video", "mine:x", r"encoder 'mine:x': expected small letters"),
        ("audio", "", r"encoder '': expected small letters"),
    ],
)
def test_a_name_that_can_not_be_typed_fails(stream: StreamName, name: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        register(stream, name)


def test_weights_are_refused_wherever_none_can_be_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    planted = EncoderEntry(
        "audio", "planted", lambda *how: pytest.fail("built"), False, True, False, weights_from_file
    )
    names("audio")
    monkeypatch.setitem(encoder.REGISTRIES["audio"]._entries, "planted", (planted, __name__, None))
    for text in ("planted", "acoustic:emodb", "table:no.csv"):
        name = text.partition(":")[0]
        with pytest.raises(ValueError, match=f"^audio encoder {name} has no weights to choose; found 'no/sense'"):
            build("audio", text, EncoderOptions(weights="no/sense"))


@pytest.mark.parametrize(
    ("name", "source", "layer", "learned"),
    [
        ("cnn5", "file", None, True),
        ("cnn5", "random:0", None, False),
        ("vgg16", "file", "fc7 after its ReLU", False),
        ("vgg16", "file", "100 columns trained over fc7 after its ReLU", True),
        ("vgg16", "imagenet:IMAGENET1K_V1", "fc7 after its ReLU", False),
        ("torchvision:resnet18", "file", "input of fc", False),
        ("not-installed-here", "file", None, True),
        ("table:t.csv", None, None, False),
    ],
)
def test_whose_weights_were_fitted_on_labels(
    name: str, source: str | None, layer: str | None, learned: bool
) -> None:
    weights = {"source": source} if source else None
    spec = {"name": name, "stream": "video", "weights": weights, "parameters": {"layer": layer} if layer else {}}
    assert is_learned_from_labels(spec) is learned
