"""A real browser for the tests of the HTML report: Chromium, driven through chromedriver's own protocol, without any package.

`find()` says why there is none, so that tests can skip and say so.
"""

import base64
import json
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update",
    "--disable-sync", "--disable-dev-shm-usage", "--hide-scrollbars", "--force-color-profile=srgb", "--disable-default-apps", "--disable-extensions",
)  # fmt: skip


def find() -> tuple[str, str] | str:
    """Return the paths of Chromium and its driver, or why they are missing."""
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    driver = shutil.which("chromedriver")
    if not browser or not driver:
        return "needs chromium and chromedriver (apt-get install chromium chromium-driver)"
    return browser, driver


class Browser:
    """One window of a headless Chromium with a new, empty profile. Close it."""

    def __init__(self, browser: str, driver: str) -> None:
        self._profile = tempfile.mkdtemp(prefix="profile-")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self._address = f"http://127.0.0.1:{port}"
        self._driver = subprocess.Popen([driver, f"--port={port}", "--log-level=OFF"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self._session = ""
        try:
            self._wait()
            options = {"binary": browser, "args": [*FLAGS, f"--user-data-dir={self._profile}"]}
            wanted = {"browserName": "chrome", "goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"}}
            self._session = f"/session/{self._call('/session', {'capabilities': {'alwaysMatch': wanted}})['sessionId']}"
        except BaseException:
            self.close()
            raise

    def _wait(self) -> None:
        for _ in range(200):
            try:
                self._call("/status")
                return
            except (urllib.error.URLError, ConnectionError):
                time.sleep(0.05)
        raise RuntimeError("chromedriver did not start")

    def _call(self, path: str, body: dict[str, Any] | None = None, method: str | None = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self._address + path, data=data, method=method, headers={"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            with error:
                raise RuntimeError(json.load(error)["value"]["message"].splitlines()[0]) from None

    def devtools(self, command: str, **parameters: Any) -> Any:
        """Send a command of Chromium's DevTools protocol."""
        return self._call(f"{self._session}/goog/cdp/execute", {"cmd": command, "params": parameters})

    def open(self, page: Path, *, width: int = 1280, height: int = 900, scripts: bool = True, dark: bool = False, medium: str = "") -> None:
        """Show a local file; earlier console messages and requests are forgotten."""
        self.devtools("Emulation.setScriptExecutionDisabled", value=not scripts)
        self.devtools("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 500)
        self.devtools("Emulation.setEmulatedMedia", media=medium, features=[{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}])
        self.console(), self.requests()
        self._call(f"{self._session}/url", {"url": page.as_uri()})

    def run(self, script: str) -> Any:
        """Run a script in the page and return what it returns."""
        return self._call(f"{self._session}/execute/sync", {"script": script, "args": []})

    def outer_html(self) -> str:
        """Return the page as it stands, without running a script in it."""
        root = self.devtools("DOM.getDocument", depth=0)["root"]["nodeId"]
        return self.devtools("DOM.getOuterHTML", nodeId=root)["outerHTML"]

    def press(self, *keys: str) -> None:
        """Press keys one after the other, as a user would."""
        actions = [{"type": kind, "value": key} for key in keys for kind in ("keyDown", "keyUp")]
        self._call(f"{self._session}/actions", {"actions": [{"type": "key", "id": "keyboard", "actions": actions}]})

    def console(self) -> list[str]:
        """Return what the page has written to the console since it was asked last, refused loads included."""
        return [entry["message"] for entry in self._call(f"{self._session}/se/log", {"type": "browser"})]

    def requests(self) -> list[str]:
        """Return the addresses that the page has asked for since it was asked last, without those inside the page."""
        events = (json.loads(entry["message"])["message"] for entry in self._call(f"{self._session}/se/log", {"type": "performance"}))
        asked = [event["params"]["request"]["url"] for event in events if event["method"] == "Network.requestWillBeSent"]
        return [address for address in asked if not address.startswith("data:")]

    def picture(self, path: Path, *, whole: bool = True) -> None:
        """Save a picture of the page as PNG."""
        shot = self.devtools("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(shot["data"]))

    def close(self) -> None:
        """End the browser and its driver, and remove the profile."""
        try:
            if self._session:
                self._call(self._session, method="DELETE")
        finally:
            self._driver.terminate()
            self._driver.wait(timeout=20)
            shutil.rmtree(self._profile, ignore_errors=True)
